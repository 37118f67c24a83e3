package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/transport/apihttp"
)

// Dial opens a connection; rest.Config.Dial.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

const (
	verifyPoll    = 250 * time.Millisecond
	verifyRequest = 5 * time.Second
	reachTimeout  = 3 * time.Second
	// verifyTimeout leaves room for a role binding that was made a moment ago
	// to reach the other API servers.
	verifyTimeout = 20 * time.Second
)

// Verify tries the content of a kubeconfig: the API server must know the
// caller as username (when that is given), and let it do everything. The zero
// dial is the plain network.
func Verify(ctx context.Context, content []byte, username string, dial Dial) error {
	return verify(ctx, content, expected{username: username, admin: true}, dial, verifyTimeout)
}

// VerifyLogin is Verify for somebody who need not be able to do everything: the API
// server must know the caller as username.
func VerifyLogin(ctx context.Context, content []byte, username string, dial Dial) error {
	return verify(ctx, content, expected{username: username}, dial, verifyTimeout)
}

// expected is what a kubeconfig must prove to be.
type expected struct {
	// username is empty when anybody will do.
	username string
	// admin is true for who may do everything.
	admin bool
}

func verify(ctx context.Context, content []byte, want expected, dial Dial, timeout time.Duration) error {
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	if err != nil {
		return fmt.Errorf("read the new kubeconfig back: %w", err)
	}
	if !hasCredentials(config) {
		return errors.New("the new kubeconfig has no credentials")
	}
	config.Dial, config.Timeout = dial, verifyRequest
	apihttp.LogBodies(config)
	// The wait below is bounded; client-go's limit would only end it early.
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("use the new kubeconfig: %w", err)
	}
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	err = wait.PollUntilContextCancel(waiting, verifyPoll, true, func(ctx context.Context) (bool, error) {
		err := try(ctx, client, want)
		if err == nil || last == nil || ctx.Err() == nil {
			// An end of the wait says less than what was seen before it.
			last = err
		}
		return err == nil, nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return fmt.Errorf("the new kubeconfig does not work at %s: %w", config.Host, last)
	}
}

func hasCredentials(c *rest.Config) bool {
	return c.BearerToken != "" || (len(c.CertData) > 0 && len(c.KeyData) > 0)
}

// try asks the API server who we are and what we may do.
func try(ctx context.Context, client kubernetes.Interface, want expected) error {
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if got := review.Status.UserInfo.Username; want.username != "" && got != want.username {
		return fmt.Errorf("the API server knows us as %q instead of %q", got, want.username)
	}
	if !want.admin {
		return nil
	}
	access, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if !access.Status.Allowed {
		return fmt.Errorf("%s may not do everything; is it bound to cluster-admin?", want.username)
	}
	return nil
}

// Quick tries once whether a kubeconfig works, for whomever it is.
func Quick(ctx context.Context, content []byte, dial Dial) error {
	return verify(ctx, content, expected{admin: true}, dial, verifyRequest)
}

// Reachable tells whether a connection to a kubeconfig's server can be opened
// from here.
func Reachable(ctx context.Context, content []byte) bool {
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	if err != nil {
		return false
	}
	server, err := url.Parse(config.Host)
	if err != nil {
		return false
	}
	dialer := net.Dialer{Timeout: reachTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", server.Host)
	if err != nil {
		return false
	}
	// Nothing was sent, so that nothing is lost.
	_ = conn.Close()
	return true
}

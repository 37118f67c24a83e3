package kubeconfig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientauthv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
)

// A kubeconfig with exec credentials has no secret in it: the program asks for them when
// they are needed. They are in a kubeconfig of their own, and are renewed with
// themselves when a third of their life is left, as long as they may do that.
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins

// ExecProgram is what is executed: the plugin, found by the PATH.
const ExecProgram = "kubectl-ha"

// WithExec splits a kubeconfig into one without credentials, which has them asked for,
// and the one with them, to be stored at path. duration is what was asked for, and so how
// long renewed ones live; zero for the default.
func WithExec(c *clientcmdapi.Config, path string, duration time.Duration) *clientcmdapi.Config {
	out := c.DeepCopy()
	args := []string{"kubeconfig", "credential"}
	if duration > 0 {
		args = append(args, "--duration", duration.String())
	}
	args = append(args, "--file", path)
	for name := range out.AuthInfos {
		out.AuthInfos[name] = &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
			APIVersion: clientauthv1.SchemeGroupVersion.String(), Command: ExecProgram,
			Args:            slices.Clone(args),
			InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
			InstallHint:     "kubectl-ha is not on your PATH; kubectl krew install ha puts it there, in ~/.krew/bin",
		}}
	}
	return out
}

// Renewer makes a new identity with the one that there is.
type Renewer func(ctx context.Context, content []byte) (*Issued, error)

// Credential is the answer to client-go for the credentials in the file, which is
// renewed before when little of their life is left. Who can't renew them gets the old
// ones for as long as they live.
func Credential(ctx context.Context, path string, renew Renewer, now time.Time) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the credentials: %w; kubectl ha kubeconfig --exec makes new ones", err)
	}
	login, err := onlyLogin(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	e := Existing{Content: content, Expires: expiry(login)}
	if !lasts(login, e, now) && e.Expires.After(now) {
		if fresh, err := renewed(ctx, path, content, renew); err == nil {
			login, e.Expires = fresh, expiry(fresh)
		}
		// Else the old ones live on for a while; the next one tries again.
	}
	if !e.Expires.After(now) {
		return nil, fmt.Errorf("the credentials in %s ended at %s; kubectl ha kubeconfig --exec makes new ones", path, e.Expires.Format(time.RFC3339))
	}
	// Asked again well before the end.
	again := metav1.NewTime(e.Expires.Add(-time.Minute))
	return json.Marshal(clientauthv1.ExecCredential{
		TypeMeta: metav1.TypeMeta{APIVersion: clientauthv1.SchemeGroupVersion.String(), Kind: "ExecCredential"},
		Status: &clientauthv1.ExecCredentialStatus{ExpirationTimestamp: &again, Token: login.Token,
			ClientCertificateData: string(login.ClientCertificateData), ClientKeyData: string(login.ClientKeyData)},
	})
}

// lasts tells whether more than a third of the login's own life is left: one that was
// made for an hour is not renewed with every question. Where its beginning can't be told
// it is as for others of its kind.
func lasts(login *clientcmdapi.AuthInfo, e Existing, now time.Time) bool {
	begins, ends := life(login)
	if begins.IsZero() {
		return e.Lasts(now)
	}
	return ends.After(now.Add(ends.Sub(begins) / 3))
}

func renewed(ctx context.Context, path string, content []byte, renew Renewer) (*clientcmdapi.AuthInfo, error) {
	issued, err := renew(ctx, content)
	if err != nil {
		return nil, err
	}
	fresh, err := Encode(issued.Config)
	if err != nil {
		return nil, err
	}
	login, err := onlyLogin(fresh)
	if err != nil {
		return nil, err
	}
	return login, WriteFile(path, fresh)
}

func onlyLogin(content []byte) (*clientcmdapi.AuthInfo, error) {
	c, err := clientcmd.Load(content)
	if err != nil {
		return nil, errors.New("it is no kubeconfig")
	}
	for _, login := range c.AuthInfos {
		return login, nil
	}
	return nil, errors.New("it has no user")
}

// StoreCredential writes the file that Credential reads, in a directory that only its
// owner can look into.
func StoreCredential(path string, c *clientcmdapi.Config) error {
	content, err := Encode(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep the credentials: %w", err)
	}
	return WriteFile(path, content)
}

// Groups are those in the client certificate of a kubeconfig's login.
func Groups(content []byte) []string {
	login, err := onlyLogin(content)
	if err != nil {
		return nil
	}
	certs, err := cert.ParseCertsPEM(login.ClientCertificateData)
	if err != nil {
		return nil
	}
	return certs[0].Subject.Organization
}

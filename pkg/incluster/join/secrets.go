package join

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeadm"
)

const (
	// tokenLife is how long the bootstrap token lives, and tokenRest what must be
	// left of that when a promotion begins.
	tokenLife = time.Hour
	tokenRest = 15 * time.Minute
	// signTimeout bounds the wait for the controller manager to sign cluster-info
	// with a new token; kubeadm itself waits on, at a slower pace.
	signTimeout = 15 * time.Second

	keyCertificate = "certificateKey"
	keyToken       = "token"
	// kubeadmCerts is the Secret that kubeadm uploads the certificates to.
	kubeadmCerts = "kubeadm-certs"
	// jwsPrefix begins the keys of cluster-info's signatures.
	jwsPrefix = "jws-kubeconfig-"
)

// secrets are what joining kubeadms prove themselves with.
type secrets struct{ certificateKey, token string }

func secretsName(t engine.Turn) string { return t.Operation.Name + "-secrets" }

// makeSecrets returns the Operation's secrets, made when there are none.
func makeSecrets(ctx context.Context, t engine.Turn) (secrets, error) {
	api := t.Clients.Kube.CoreV1().Secrets(v1alpha1.SystemNamespace)
	s, err := api.Get(ctx, secretsName(t), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		var key, token string
		if key, err = kubeadm.NewCertificateKey(); err != nil {
			return secrets{}, err
		}
		if token, err = kubeadm.NewToken(); err != nil {
			return secrets{}, err
		}
		s, err = api.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Name:            secretsName(t),
				Labels:          map[string]string{"app.kubernetes.io/name": "kubectl-ha"},
				OwnerReferences: []metav1.OwnerReference{operations.Owner(t.Operation)},
			},
			StringData: map[string]string{keyCertificate: key, keyToken: token},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		return secrets{}, fmt.Errorf("the operation's secrets: %w", err)
	}
	return secrets{certificateKey: string(s.Data[keyCertificate]), token: string(s.Data[keyToken])}, nil
}

// readSecrets returns the secrets that the certificates were uploaded with. New
// ones would not fit, so their loss is an error.
func readSecrets(ctx context.Context, t engine.Turn) (secrets, error) {
	kube := t.Clients.Kube.CoreV1()
	s, err := kube.Secrets(v1alpha1.SystemNamespace).Get(ctx, secretsName(t), metav1.GetOptions{})
	if err == nil {
		_, err = kube.Secrets(metav1.NamespaceSystem).Get(ctx, kubeadmCerts, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) {
		return secrets{}, fmt.Errorf("the uploaded certificates have expired or were removed\nnext: kubectl ha operation resume %s uploads them again", t.Operation.Name)
	}
	if err != nil {
		return secrets{}, fmt.Errorf("the operation's secrets: %w", err)
	}
	return secrets{certificateKey: string(s.Data[keyCertificate]), token: string(s.Data[keyToken])}, nil
}

// allowToken makes the token one that the cluster knows, for an hour at most.
// https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
func allowToken(ctx context.Context, t engine.Turn, token string) error {
	id, secret, _ := strings.Cut(token, ".")
	api := t.Clients.Kube.CoreV1().Secrets(metav1.NamespaceSystem)
	want := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id},
		Type:       corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{
			"description":                    "kubectl-ha operation " + t.Operation.Name,
			"token-id":                       id,
			"token-secret":                   secret,
			"expiration":                     time.Now().Add(tokenLife).UTC().Format(time.RFC3339),
			"usage-bootstrap-authentication": "true",
			"usage-bootstrap-signing":        "true",
			"auth-extra-groups":              "system:bootstrappers:kubeadm:default-node-token",
		},
	}
	have, err := api.Get(ctx, want.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		if _, err = api.Create(ctx, want, metav1.CreateOptions{}); apierrors.IsAlreadyExists(err) {
			err = nil // A promotion beside this one was faster.
		}
	case err == nil && !lives(have):
		want.ResourceVersion = have.ResourceVersion
		if _, err = api.Update(ctx, want, metav1.UpdateOptions{}); apierrors.IsConflict(err) {
			err = nil // As above.
		}
	}
	if err != nil {
		return fmt.Errorf("make a bootstrap token: %w", err)
	}
	return nil
}

func lives(s *corev1.Secret) bool {
	expires, err := time.Parse(time.RFC3339, string(s.Data["expiration"]))
	return err == nil && time.Until(expires) > tokenRest
}

// awaitSignature waits until cluster-info is signed with the token: a kubeadm
// that comes too early looks again only five seconds later.
func awaitSignature(ctx context.Context, t engine.Turn, token string) error {
	id, _, _ := strings.Cut(token, ".")
	signing, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	err := until(signing, t, "cluster-info to be signed", func(ctx context.Context) (string, error) {
		config, err := t.Clients.Kube.CoreV1().ConfigMaps(metav1.NamespacePublic).Get(ctx, clusterInfo, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		if _, ok := config.Data[jwsPrefix+id]; !ok {
			return "cluster-info is not signed with the token yet", nil
		}
		return "", nil
	})
	if err != nil && ctx.Err() == nil {
		return nil // kubeadm waits for it too, and says so when it never comes.
	}
	return err
}

// cleanUp removes the token, the uploaded certificates and the secrets.
func cleanUp(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	kube := t.Clients.Kube.CoreV1()
	s, err := kube.Secrets(v1alpha1.SystemNamespace).Get(ctx, secretsName(t), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return engine.Outcome{Message: "nothing to remove"}, nil
	}
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("read the operation's secrets: %w", err)
	}
	id, _, _ := strings.Cut(string(s.Data[keyToken]), ".")
	remove := []string{"bootstrap-token-" + id, kubeadmCerts}
	if certs, err := kube.Secrets(metav1.NamespaceSystem).Get(ctx, kubeadmCerts, metav1.GetOptions{}); err == nil {
		// kubeadm ties their life to a token of its own.
		for _, o := range certs.OwnerReferences {
			remove = append(remove, o.Name)
		}
	}
	for _, name := range remove {
		if err := kube.Secrets(metav1.NamespaceSystem).Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return engine.Outcome{}, fmt.Errorf("remove kube-system/%s: %w", name, err)
		}
	}
	// Last, since it is what says that there is something to remove.
	if err := kube.Secrets(v1alpha1.SystemNamespace).Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return engine.Outcome{}, fmt.Errorf("remove the operation's secrets: %w", err)
	}
	return engine.Outcome{}, nil
}

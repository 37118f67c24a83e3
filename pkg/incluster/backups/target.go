package backups

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
)

// KeyTo is in the Secret that an Operation's targetSecret names: the target, as it is given with
// --to. Beside it stand credentials, or none: then those of the target's own Secret count.
const KeyTo = "to"

// Named finds the target that a text means: a name in spec.backup.targets, or a URL. It is pure.
func Named(c *v1alpha1.Cluster, text string) (v1alpha1.BackupTarget, error) {
	if strings.Contains(text, "://") {
		if err := store.Check(text); err != nil {
			return v1alpha1.BackupTarget{}, fmt.Errorf("the target: %w", err)
		}
		for _, t := range c.Spec.Backup.Targets {
			if t.URL == text {
				return t, nil
			}
		}
		return v1alpha1.BackupTarget{URL: text}, nil
	}
	var names []string
	for _, t := range c.Spec.Backup.Targets {
		if t.Name == text {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return v1alpha1.BackupTarget{}, fmt.Errorf("there is no target %q in spec.backup.targets (%s)", text, strings.Join(names, ", "))
}

// Store is a target with its credentials. It is pure.
func Store(t v1alpha1.BackupTarget, credentials map[string]string) *store.Config {
	return &store.Config{URL: t.URL, Endpoint: t.Endpoint, Region: t.Region, BytesPerSecond: t.BytesPerSecond, Credentials: credentials}
}

// NoSecretError says that the Secret with a target's credentials is missing.
type NoSecretError struct{ Target, Secret string }

// Error says how it is made.
func (e *NoSecretError) Error() string {
	return fmt.Sprintf("the credentials of the target %s are missing: there is no Secret %s in the namespace %s\nnext: kubectl create secret generic %s --namespace %s --from-file=…, or --credentials FILE", e.Target, e.Secret, v1alpha1.SystemNamespace, e.Secret, v1alpha1.SystemNamespace)
}

// InSecret is a target with the credentials of its Secret; a folder of the hosts, and a URL that is
// no target of the Cluster document, has none. Errors: NoSecretError, Named's, or the API's.
func InSecret(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster, text string) (*store.Config, error) {
	t, err := Named(c, text)
	if err != nil {
		return nil, err
	}
	name := t.SecretName
	if name == "" && t.Name != "" {
		name = "backup-" + t.Name
	}
	if name == "" || strings.HasPrefix(t.URL, "file://") {
		return Store(t, nil), nil
	}
	credentials, err := secret(ctx, kube, name)
	if apierrors.IsNotFound(err) {
		return nil, &NoSecretError{text, name}
	}
	return Store(t, credentials), err
}

// Scheduled is the target that a Secret with KeyTo names: by what the stored Cluster document says
// of it now.
func Scheduled(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster, name string) (*store.Config, error) {
	values, err := secret(ctx, kube, name)
	if err != nil {
		return nil, fmt.Errorf("read where backups are sent: %w", err)
	}
	to := values[KeyTo]
	delete(values, KeyTo)
	if len(values) == 0 {
		return InSecret(ctx, kube, c, to)
	}
	t, err := Named(c, to)
	return Store(t, values), err
}

func secret(ctx context.Context, kube kubernetes.Interface, name string) (map[string]string, error) {
	s, err := kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for k, v := range s.Data {
		values[k] = string(v)
	}
	return values, nil
}

package install

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// Issued is a certificate that was made for an installed addon.
type Issued struct {
	Addon, Namespace, Secret string
	// NotAfter is its end; zero when the Secret is gone, or nothing that can be read.
	NotAfter time.Time
}

// IssuedCertificates are those of all installed addons, in the order of the addons'
// names. It changes nothing.
func IssuedCertificates(ctx context.Context, kube kubernetes.Interface) ([]Issued, error) {
	all, err := Inventories(ctx, kube)
	if err != nil {
		return nil, err
	}
	var out []Issued
	for _, inv := range all {
		for _, o := range inv.Objects {
			if o.Kind != "Secret" {
				continue
			}
			s, err := kube.CoreV1().Secrets(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err):
				s = &corev1.Secret{Type: corev1.SecretTypeTLS}
			case err != nil:
				return nil, fmt.Errorf("read %s of the addon %s: %w", o, inv.Name, err)
			}
			if s.Type != corev1.SecretTypeTLS {
				continue // A Secret among the manifests, which is none of ours to renew.
			}
			end, err := pki.NotAfter(s.Data[partCert])
			if err != nil {
				end = time.Time{} // One that can't be read serves nobody.
			}
			out = append(out, Issued{Addon: inv.Name, Namespace: o.Namespace, Secret: o.Name, NotAfter: end})
		}
	}
	return out, nil
}

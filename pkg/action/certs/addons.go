package certs

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// addonNames is how addons' certificates are asked for by name.
const addonNames = "addons"

// addons adds the certificates of addons that talk to etcd to a plan: those that etcd's CA has
// signed. What the cluster's CA has signed for addons is renewed by their installation.
func (o Options) addons(ctx context.Context, clients *client.Clients, p *Plan, signer bootstrap.Signer, noSigner error) error {
	if len(o.Names) > 0 && !slices.Contains(o.Names, addonNames) || len(o.Only) > 0 {
		return nil
	}
	issued, err := install.IssuedCertificates(ctx, clients.Kube)
	if err != nil {
		return action.OfCluster(err)
	}
	for _, c := range issued {
		s, err := clients.Kube.CoreV1().Secrets(c.Namespace).Get(ctx, c.Secret, metav1.GetOptions{})
		if err != nil {
			continue // IssuedCertificates has said what there is to say: it is gone.
		}
		cert, err := pki.ParseCert(s.Data["tls.crt"])
		if err != nil || !o.wantsAddon(cert, time.Now()) {
			continue
		}
		left := noSigner
		if left == nil {
			left = signer.Signed(cert)
		}
		name := c.Namespace + "/" + c.Secret
		if left != nil {
			// There are two CAs of addons: what the cluster's has not signed is of etcd's, of this one or
			// of one that was replaced.
			ofEtcd, err := notByCluster(ctx, clients, c.Namespace, s.Data["tls.crt"])
			if err != nil {
				return err
			}
			if ofEtcd {
				p.Left = append(p.Left, fmt.Sprintf("%s of the addon %s: %v", name, c.Addon, left))
			}
			continue
		}
		p.Addons = append(p.Addons, name)
	}
	return nil
}

// notByCluster tells whether another CA than the cluster's has signed a certificate.
func notByCluster(ctx context.Context, clients *client.Clients, namespace string, certPEM []byte) (bool, error) {
	root, err := clients.Kube.CoreV1().ConfigMaps(namespace).Get(ctx, rootCA, metav1.GetOptions{})
	if err != nil {
		return false, action.OfCluster(fmt.Errorf("read the cluster's CA: %w", err))
	}
	by, err := pki.SignedBy(certPEM, []byte(root.Data[rootCAKey]))
	return err == nil && !by, err
}

// wantsAddon tells whether an addon's certificate is to be renewed.
func (o Options) wantsAddon(cert *x509.Certificate, now time.Time) bool {
	return o.All || slices.Contains(o.Names, addonNames) || pki.Due(cert, now)
}

// renewAddons puts new certificates into the Secrets, with the rights of who runs it. Whoever
// mounts them has them within a minute or so; Prometheus reads its own at each connection.
func (o Options) renewAddons(ctx context.Context, clients *client.Clients, signer bootstrap.Signer, p Plan, sink report.Sink) error {
	for _, name := range p.Addons {
		namespace, secret, _ := strings.Cut(name, "/")
		api := clients.Kube.CoreV1().Secrets(namespace)
		s, err := api.Get(ctx, secret, metav1.GetOptions{})
		if err != nil {
			return action.OfCluster(err)
		}
		old, err := pki.ParseCert(s.Data["tls.crt"])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		// Whoever can write the Secret may put anything there: also one that has ended has to be ours.
		if err := signer.Signed(old); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		pair, err := signer.Addon(old.Subject.CommonName)
		if err != nil {
			return err
		}
		// Key and certificate are one object, and change together.
		s.Data["tls.crt"], s.Data["tls.key"], s.Data["ca.crt"] = pair.CertPEM, pair.KeyPEM, signer.CA()
		if _, err := api.Update(ctx, s, metav1.UpdateOptions{FieldManager: "kubectl-ha-addon"}); err != nil {
			return action.OfCluster(fmt.Errorf("write the secret %s: %w", name, err))
		}
		action.Tell(sink, "renewed the certificate in %s", name)
	}
	return nil
}

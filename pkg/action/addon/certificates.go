package addon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// Sign makes the certificates that etcd's CA signs, whose key is on this machine and on no
// host; all others the cluster's own CA signs, within the Operation. Those that are good in
// the cluster stay. That the CA is not here is an action.Findings, so that nobody is asked
// about what can't be. Once they are made it does nothing.
func (p *Install) Sign(ctx context.Context) error {
	if p.signed != nil {
		return nil
	}
	due, err := dueOfEtcd(ctx, p.site.clients.Kube, p.chosen, time.Now())
	if err != nil {
		return err
	}
	signed := map[string][]byte{}
	if len(due) > 0 {
		if p.stateDir == nil {
			return errors.New("the directory with the etcd CA is missing, but an addon needs it")
		}
		dir, err := p.stateDir(p.Cluster)
		if err != nil {
			return err
		}
		for _, d := range due {
			parts, err := d.sign(ctx, p.Cluster, dir)
			if err != nil {
				return err
			}
			maps.Copy(signed, parts)
		}
	}
	p.signed = signed
	return nil
}

// dueCertificate is one that has to be made for an addon.
type dueCertificate struct {
	addon string
	addon.Certificate
}

// dueOfEtcd are the certificates by etcd's CA that are not there, or not for long enough.
func dueOfEtcd(ctx context.Context, kube kubernetes.Interface, chosen []choice, now time.Time) ([]dueCertificate, error) {
	var out []dueCertificate
	for _, c := range chosen {
		for _, cert := range c.addon.Descriptor.Certificates {
			if cert.Authority != addon.AuthorityEtcd {
				continue
			}
			good, err := install.Good(ctx, kube, cert, pki.Request{}, now)
			if err != nil {
				return nil, action.OfCluster(err)
			}
			if !good {
				out = append(out, dueCertificate{c.item.Name, cert})
			}
		}
	}
	return out, nil
}

// sign has etcd's CA sign it, whose key is in dir: the one that signs now, while it is rotated and
// after that. The result has the parts by the keys of the Secret that is handed over.
func (d dueCertificate) sign(ctx context.Context, c *v1alpha1.Cluster, dir string) (map[string][]byte, error) {
	signer, err := bootstrap.OpenSigner(ctx, dir, c, 0)
	if errors.Is(err, bootstrap.ErrNoCA) {
		return nil, action.As(action.Findings, fmt.Errorf("the addon %s needs a certificate signed by the etcd CA, but the CA key is not in %s: "+
			"run this on the machine that bootstrapped the cluster, or copy that directory from there", d.addon, dir))
	}
	if err != nil {
		return nil, err
	}
	pair, err := signer.Addon(d.CommonName)
	if err != nil {
		return nil, err
	}
	return install.Handed(d.addon, d.Secret, pair, signer.CA()), nil
}

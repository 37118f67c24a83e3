package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/kubeletcert"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// The parts of a certificate that is handed over: the keys of its Secret.
const (
	partKey  = "tls.key"
	partCert = "tls.crt"
	partCA   = "ca.crt"

	signTimeout = 2 * time.Minute
	// renewAt is the share of its life that a certificate has left when it is made
	// anew by the next installation.
	renewAt = 3
)

// SecretKey is where a part of a certificate stands in the Secret that an
// Operation hands over.
func SecretKey(addonName, secret, part string) string { return addonName + "." + secret + "." + part }

// Handed are a certificate's three parts as HandOver takes them.
func Handed(addonName, secret string, pair pki.KeyPair, ca []byte) map[string][]byte {
	return map[string][]byte{
		SecretKey(addonName, secret, partKey): pair.KeyPEM, SecretKey(addonName, secret, partCert): pair.CertPEM, SecretKey(addonName, secret, partCA): ca,
	}
}

// ServerRequest is what a server's certificate is for: the stable address, all
// nodes, and this machine, for who forwards a port.
func ServerRequest(c *v1alpha1.Cluster, cert addon.Certificate) pki.Request {
	r := pki.Request{CommonName: cert.CommonName, Server: true, DNSNames: []string{"localhost", cert.CommonName + "." + cert.Namespace + ".svc"}}
	addresses := []string{c.EndpointHost(), "127.0.0.1"}
	for _, h := range c.Nodes() {
		addresses = append(addresses, h.Address)
		r.DNSNames = append(r.DNSNames, h.Name)
	}
	for _, a := range addresses {
		if ip := net.ParseIP(a); ip != nil {
			r.IPs = append(r.IPs, ip)
		} else if !slices.Contains(r.DNSNames, a) {
			r.DNSNames = append(r.DNSNames, a) // The endpoint is a name.
		}
	}
	return r
}

// Good tells whether a certificate's Secret is there, for these names, and not
// about to expire.
func Good(ctx context.Context, kube kubernetes.Interface, cert addon.Certificate, want pki.Request, now time.Time) (bool, error) {
	s, err := kube.CoreV1().Secrets(cert.Namespace).Get(ctx, cert.Secret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the secret %s/%s: %w", cert.Namespace, cert.Secret, err)
	}
	pair := pki.KeyPair{CertPEM: s.Data[partCert], KeyPEM: s.Data[partKey]}
	have, err := pki.ParseCert(pair.CertPEM)
	if err != nil || pair.Check() != nil || pki.Verify(pair.CertPEM, s.Data[partCA]) != nil {
		return false, nil //nolint:nilerr // one that is no good is made anew
	}
	for _, ip := range want.IPs {
		if !slices.ContainsFunc(have.IPAddresses, ip.Equal) {
			return false, nil
		}
	}
	for _, n := range want.DNSNames {
		if !slices.Contains(have.DNSNames, n) {
			return false, nil
		}
	}
	return have.NotAfter.Sub(now) > have.NotAfter.Sub(have.NotBefore)/renewAt, nil
}

// certificateStep has a server's certificate signed on a control plane. The key
// is made here and stays in the cluster's Secrets; only the request travels.
type certificateStep struct{}

// Retries is one: signing changes nothing.
func (certificateStep) Retries() int { return 1 }

// Run has it signed, unless there is a good one.
func (certificateStep) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	name, secret, _ := strings.Cut(subject(t), "/")
	cert, err := certificateOf(ctx, t, name, secret)
	if err != nil {
		return engine.Outcome{}, err
	}
	want := ServerRequest(t.Cluster, cert)
	if good, err := Good(ctx, t.Clients.Kube, cert, want, time.Now()); good || err != nil {
		return engine.Outcome{Message: "there is a good one"}, err
	}
	signed := kubeletcert.Signed{}
	task := engine.NodeTask{
		LostRetries: 1,
		Request: func(ctx context.Context, t engine.Turn) (node.Request, error) {
			key, err := handedKey(ctx, t, name, secret)
			if err != nil {
				return node.Request{}, err
			}
			csr, err := pki.SigningRequest(key, want)
			if err != nil {
				return node.Request{}, err
			}
			raw, err := json.Marshal(kubeletcert.SignSpec{Request: csr})
			return node.Request{Task: tasks.SignServer, Timeout: signTimeout, Spec: raw}, err
		},
		Message: func(r node.Result) string {
			if json.Unmarshal(r.Data, &signed) != nil {
				return ""
			}
			return "signed"
		},
	}
	out, err := task.Run(ctx, t)
	if err != nil {
		return out, err
	}
	if len(signed.Certificate) == 0 {
		return out, fmt.Errorf("%s signed nothing", t.Step.Node)
	}
	until, err := pki.NotAfter(signed.Certificate)
	if err != nil {
		return out, err
	}
	out.Message = "valid until " + until.Format(time.DateOnly)
	return out, addHanded(ctx, t, map[string][]byte{
		SecretKey(name, secret, partCert): signed.Certificate, SecretKey(name, secret, partCA): signed.CA,
	})
}

func certificateOf(ctx context.Context, t engine.Turn, name, secret string) (addon.Certificate, error) {
	item, err := itemOf(t.Env, name)
	if err != nil {
		return addon.Certificate{}, err
	}
	a, err := unpack(ctx, t.Env, item)
	if err != nil {
		return addon.Certificate{}, err
	}
	for _, c := range a.Descriptor.Certificates {
		if c.Secret == secret {
			return c, nil
		}
	}
	return addon.Certificate{}, fmt.Errorf("the addon %s has no certificate %s", name, secret)
}

// handedKey returns the certificate's key, made when there is none: an attempt
// that was taken over asks with the same.
func handedKey(ctx context.Context, t engine.Turn, name, secret string) ([]byte, error) {
	at := SecretKey(name, secret, partKey)
	have, err := handed(ctx, t)
	if err != nil {
		return nil, err
	}
	if key := have[at]; len(key) > 0 {
		return key, nil
	}
	key, err := pki.NewKey()
	if err != nil {
		return nil, err
	}
	return key, addHanded(ctx, t, map[string][]byte{at: key})
}

// handed is what was handed over, or made since.
func handed(ctx context.Context, t engine.Turn) (map[string][]byte, error) {
	s, err := t.Clients.Kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Get(ctx, SecretsName(t.Operation.Name), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the operation's certificates: %w", err)
	}
	return s.Data, nil
}

func addHanded(ctx context.Context, t engine.Turn, more map[string][]byte) error {
	api := t.Clients.Kube.CoreV1().Secrets(v1alpha1.SystemNamespace)
	s, err := api.Get(ctx, SecretsName(t.Operation.Name), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = api.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: SecretsName(t.Operation.Name), OwnerReferences: []metav1.OwnerReference{operations.Owner(t.Operation)}}, Data: more}, metav1.CreateOptions{})
	} else if err == nil {
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		for k, v := range more {
			s.Data[k] = v
		}
		_, err = api.Update(ctx, s, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("keep the operation's certificates: %w", err)
	}
	return nil
}

// certificateSecrets are the Secrets of an addon's certificates: new ones, and
// those that are there and good.
func certificateSecrets(ctx context.Context, t engine.Turn, a *addon.Addon) ([]*unstructured.Unstructured, error) {
	given, err := handed(ctx, t)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	var errs []error
	for _, cert := range a.Descriptor.Certificates {
		data := map[string][]byte{}
		for _, part := range []string{partKey, partCert, partCA} {
			if v := given[SecretKey(a.Descriptor.Name, cert.Secret, part)]; len(v) > 0 {
				data[part] = v
			}
		}
		if data[partCert] == nil {
			have, err := t.Clients.Kube.CoreV1().Secrets(cert.Namespace).Get(ctx, cert.Secret, metav1.GetOptions{})
			if err != nil {
				errs = append(errs, fmt.Errorf("the certificate %s was neither handed over nor is there: %w", cert.CommonName, err))
				continue
			}
			data = have.Data
		}
		u, err := apply.Untyped(&corev1.Secret{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, Type: corev1.SecretTypeTLS, Data: data,
			ObjectMeta: metav1.ObjectMeta{Name: cert.Secret, Namespace: cert.Namespace, Labels: map[string]string{addon.Label: a.Descriptor.Name}},
		})
		errs = append(errs, err)
		out = append(out, u)
	}
	return out, errors.Join(errs...)
}

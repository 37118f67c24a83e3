package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeadm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// OwnCAs are CAs of the user's own, by what they are for: some of AuthorityKubernetes,
// AuthorityFrontProxy and AuthorityEtcd. The others are made. They hold keys.
type OwnCAs map[certs.Authority]pki.KeyPair

// ownField is a field below spec.pki, and what its CA is for.
type ownField struct {
	name      string
	authority certs.Authority
	ca        v1alpha1.CA
}

// path is the field's, for people.
func (f ownField) path() string { return "spec.pki." + f.name }

func ownFields(p v1alpha1.PKI) []ownField {
	return []ownField{{"kubernetes", certs.AuthorityKubernetes, p.Kubernetes}, {"frontProxy", certs.AuthorityFrontProxy, p.FrontProxy}, {"etcd", certs.AuthorityEtcd, p.Etcd}}
}

// ReadOwnCAs reads the CAs that a Cluster file names; path gives where a file is that it names.
// Everything that is wrong with them is in the error.
func ReadOwnCAs(c *v1alpha1.Cluster, path func(string) string) (OwnCAs, error) {
	own := OwnCAs{}
	var all []error
	for _, f := range ownFields(c.Spec.PKI) {
		if f.ca == (v1alpha1.CA{}) {
			continue
		}
		pair, err := pki.ReadOwn(path(f.ca.CertFile), path(f.ca.KeyFile))
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; a cluster that has been made needs neither file any more: then remove the field", err)
		}
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", f.path(), err))
			continue
		}
		own[f.authority] = pair
	}
	return own, errors.Join(all...)
}

// Complete is nil when all CAs that a Cluster file names are there: who makes a cluster has to read them.
func (own OwnCAs) Complete(c *v1alpha1.Cluster) error {
	for _, f := range ownFields(c.Spec.PKI) {
		if _, read := own[f.authority]; !read && f.ca != (v1alpha1.CA{}) {
			return fmt.Errorf("%s names a CA that was not read", f.path())
		}
	}
	return nil
}

// Check is nil when a cluster can be made with the CAs. Everything that is wrong is in the error;
// warnings are of what works now.
func (own OwnCAs) Check(c *v1alpha1.Cluster, now time.Time) ([]v1alpha1.FieldWarning, error) {
	var warnings []v1alpha1.FieldWarning
	var all []error
	given := own.fields()
	for i, f := range given {
		found, err := CheckCA(f.authority, own[f.authority], c, now)
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", f.path(), err))
		}
		for _, w := range found {
			warnings = append(warnings, v1alpha1.FieldWarning{Path: f.path(), Message: w})
		}
		for _, other := range given[:i] {
			if err := pki.Distinct(own[other.authority].CertPEM, own[f.authority].CertPEM); err != nil {
				all = append(all, fmt.Errorf("%s and %s: %w", other.path(), f.path(), err))
			}
		}
	}
	return warnings, errors.Join(all...)
}

// fields are those of the CAs that there are, in their order.
func (own OwnCAs) fields() []ownField {
	return slices.DeleteFunc(ownFields(v1alpha1.PKI{}), func(f ownField) bool { _, given := own[f.authority]; return !given })
}

// notes are what a plan says of them.
func (own OwnCAs) notes() []string {
	var out []string
	for _, f := range own.fields() {
		out = append(out, fmt.Sprintf("your own CA for %s: %s", f.authority, pki.Describe(own[f.authority].CertPEM)))
	}
	return out
}

// CheckCA is nil when a CA can be a cluster's for what it is for: to make it, or to replace the one in use.
func CheckCA(a certs.Authority, pair pki.KeyPair, c *v1alpha1.Cluster, now time.Time) (warnings []string, err error) {
	trials, err := trials(a, c)
	if err != nil {
		return nil, err
	}
	warnings, err = pki.CheckOwn(pair, trials, now)
	if err == nil && a == certs.AuthorityKubernetes && pki.SignsNoCA(pair.CertPEM) {
		warnings = append(warnings, "its path length is 0: when it is replaced one day, clients that trust it alone lose their access in the phase issue, and not at the end of the rotation")
	}
	return warnings, err
}

// trials are certificates as a CA has to sign them, with all names that those of the cluster have.
// https://kubernetes.io/docs/setup/best-practices/certificates/#all-certificates
func trials(a certs.Authority, c *v1alpha1.Cluster) ([]pki.Request, error) {
	switch a {
	case certs.AuthorityFrontProxy:
		return []pki.Request{{CommonName: "front-proxy-client", Client: true}}, nil
	case certs.AuthorityEtcd:
		out := []pki.Request{{CommonName: "kube-apiserver-etcd-client", Client: true}}
		for _, h := range c.EtcdMembers() {
			out = append(out, memberRequest(h))
		}
		return out, nil
	}
	server := pki.Request{CommonName: "kube-apiserver", Server: true, DNSNames: []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + c.Spec.Network.DNSDomain}}
	_, services, err := net.ParseCIDR(c.Spec.Network.ServiceSubnet)
	if err != nil {
		return nil, err
	}
	first := slices.Clone(services.IP) // Its first address is the API's, as a Service.
	first[len(first)-1]++
	server.IPs = append(server.IPs, first)
	names := kubeadm.CertSANs(c)
	for _, h := range c.Spec.Hosts { // Kubelets have serving certificates by it with an addon.
		names = append(names, h.Name, h.Address)
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			server.IPs = append(server.IPs, ip)
		} else {
			server.DNSNames = append(server.DNSNames, name)
		}
	}
	return []pki.Request{server, {CommonName: "system:node:" + c.First().Name, Organization: []string{"system:nodes"}, Client: true}}, nil
}

// makeAuthority loads the etcd CA, and makes it when there is none, or keeps the user's own as that.
func makeAuthority(ctx context.Context, dir, cluster string, own OwnCAs) (authority, error) {
	a := authority{cluster: cluster}
	store, err := pki.OpenStore(dir)
	if err != nil {
		return a, err
	}
	s, err := readSuccession(dir)
	if err != nil {
		return a, err
	}
	// A cluster that has an identity has a CA: one that is lost is put back, not made anew.
	if s.Identity != "" {
		return s.authority(ctx, store, cluster)
	}
	if err := keepAuthority(ctx, store, cluster, own); err != nil {
		return a, err
	}
	return s.authority(ctx, store, cluster)
}

// keepAuthority has the store keep an etcd CA, unless it has one: the user's own, or one that it makes.
func keepAuthority(ctx context.Context, store *pki.Store, cluster string, own OwnCAs) error {
	pair, given := own[certs.AuthorityEtcd]
	if !given {
		_, _, err := store.CA(ctx, etcdCA, cluster+" etcd CA")
		return err
	}
	if _, found, err := store.Load(ctx, etcdCA); err != nil || found {
		return err // That it is this one was seen before: ownInputs.
	}
	return store.Keep(ctx, etcdCA, pair)
}

// ownInputs are the Inputs with the user's own CAs. It is an *OtherCA when this machine's state has another
// etcd CA for the cluster, or the same for another cluster.
//
// With stacked etcd the CA is kubeadm's, and on the hosts; what is on this machine says nothing about it.
func ownInputs(in Inputs, own OwnCAs, stateDir string, stacked bool) (Inputs, error) {
	in.Notes = own.notes()
	in.OwnCAs = map[certs.Authority]string{}
	for a, pair := range own {
		f, err := fingerprint(pair.CertPEM)
		if err != nil {
			return in, err
		}
		in.OwnCAs[a] = f
	}
	theirs, given := in.OwnCAs[certs.AuthorityEtcd]
	switch {
	case !given, slices.Contains(in.EtcdCAs, theirs):
		return in, nil
	case len(in.EtcdCAs) > 0 && !stacked:
		return in, &OtherCA{fmt.Sprintf("spec.pki.etcd is another CA (%.16s) than the cluster's etcd CA on this machine (%.16s, in %s)", theirs, in.EtcdCAs[0], stateDir),
			"the etcd CA of a cluster is replaced by kubectl ha certs rotate-ca etcd --ca-cert FILE --ca-key FILE; remove spec.pki.etcd from the file until then. If no host has been set up by an earlier run, move that directory away and run this again"}
	}
	other, err := sharedWith(stateDir, own[certs.AuthorityEtcd].CertPEM)
	if err != nil {
		return in, err
	}
	if other != "" {
		return in, &OtherCA{fmt.Sprintf("spec.pki.etcd is the etcd CA of another cluster, whose state is in %s", other),
			"create one for this cluster, such as another intermediate CA: members of one cluster could log in to the other's, and clusters are told apart by it"}
	}
	if !stacked {
		in.Identity, in.EtcdCAs = theirs, []string{theirs}
	}
	return in, nil
}

// OtherCA says that a CA of the user's own is not the one that is in use. Nothing was changed.
type OtherCA struct{ message, hint string }

// Error says which.
func (e *OtherCA) Error() string { return e.message }

// Explain says how to go on.
func (e *OtherCA) Explain() (detail, hint string) { return "", e.hint }

// sharedWith is the state directory of another cluster with the same etcd CA; empty without one.
func sharedWith(stateDir string, caPEM []byte) (string, error) {
	files, err := filepath.Glob(filepath.Join(filepath.Dir(stateDir), "*", "*", "ca.crt"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		dir := filepath.Dir(filepath.Dir(file))
		theirs, err := os.ReadFile(file)
		if dir == stateDir || err != nil {
			continue // What is wrong with another cluster's directory stops that cluster's commands.
		}
		if same, err := pki.SameKey(theirs, caPEM); err == nil && same {
			return dir, nil
		}
	}
	return "", nil
}

package v1alpha1

import "strings"

// pki checks what can be told without the files; whoever makes the cluster reads these.
func (v *validator) pki() {
	used := map[string]string{}
	p := v.c.Spec.PKI
	for _, given := range []struct {
		field string
		ca    CA
	}{{"kubernetes", p.Kubernetes}, {"frontProxy", p.FrontProxy}, {"etcd", p.Etcd}} {
		at, ca := "spec.pki."+given.field, given.ca
		switch {
		case ca == (CA{}):
			continue
		case ca.CertFile == "":
			v.fail(at+".certFile", "is required: the file with the CA's certificate")
		case ca.KeyFile == "":
			v.fail(at+".keyFile", "is required: a CA whose key is kept elsewhere can't make a cluster, since certificates of nodes are signed as they join; give the key for the bootstrap (an intermediate CA made for this cluster keeps your root's key where it is), and see docs/certificates.md for how to do without it later")
		}
		for _, f := range []struct{ field, path string }{{".certFile", ca.CertFile}, {".keyFile", ca.KeyFile}} {
			switch {
			case f.path == "":
			case strings.Contains(f.path, "-----"):
				// It is not quoted: it may be the key.
				v.fail(at+f.field, "is a file's content; write the file's path")
			case used[f.path] != "" && used[f.path] != at: // One file may have both of a CA.
				v.fail(at+f.field, "is a file of %s, too; each CA has its own", used[f.path])
			}
			used[f.path] = at
		}
	}
}

package kubeadm

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

const (
	token = "abcdef.0123456789abcdef"
	// A key that is a float to a careless reader.
	certKey = "1234567890123456789012345678901234567890123456789012345678901e23"
	caHash  = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// clusters are the Cluster files of the golden tests.
func clusters(t *testing.T) map[string]*v1alpha1.Cluster {
	t.Helper()
	out := map[string]*v1alpha1.Cluster{}
	files, err := filepath.Glob("testdata/*.cluster.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := v1alpha1.Load(data, file)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(file), ".cluster.yaml")] = c
	}
	return out
}

// rendered is every document of a cluster, by name.
func rendered(t *testing.T, c *v1alpha1.Cluster) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	keep := func(name string, data []byte, err error) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = data
	}
	data, err := Init(c, InitParams{Host: c.First(), Token: token, CertificateKey: certKey,
		PatchesDir: "/etc/kubernetes/patches", IgnorePreflightErrors: []string{"SystemVerification"}})
	keep("init", data, err)
	data, err = UploadCerts(c, c.First(), certKey)
	keep("upload-certs", data, err)
	data, err = Upgrade(c, UpgradeParams{Version: "v1.37.2", PatchesDir: "/etc/kubernetes/patches", IgnorePreflightErrors: []string{"SystemVerification"}})
	keep("upgrade", data, err)
	for _, h := range c.Nodes()[1:] {
		p := JoinParams{Host: h, Token: token, CACertHash: caHash, CertificateKey: certKey, PatchesDir: "/etc/kubernetes/patches"}
		data, err = JoinWorker(c, p)
		keep("join-"+h.Name, data, err)
		if h.Has(v1alpha1.RoleControlPlane) {
			data, err = Promote(c, p)
			keep("promote-"+h.Name, data, err)
		}
	}
	return out
}

func TestGolden(t *testing.T) {
	for name, c := range clusters(t) {
		for doc, got := range rendered(t, c) {
			t.Run(name+"/"+doc, func(t *testing.T) {
				golden.Compare(t, name+"."+doc+".golden.yaml", string(got))
			})
		}
	}
}

// parse reads documents as kubeadm does, by kind.
func parse(t *testing.T, data []byte) map[string]object {
	t.Helper()
	out := map[string]object{}
	for _, doc := range strings.Split(string(data), "---\n") {
		m := object{}
		if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
			t.Fatal(err)
		}
		out[m["kind"].(string)] = m
	}
	return out
}

func at(doc object, path string) any {
	var v any = doc
	for _, key := range strings.Split(path, ".") {
		m, _ := v.(object)
		v = m[key]
	}
	return v
}

func TestSecretsAreStringsToKubeadm(t *testing.T) {
	for name, c := range clusters(t) {
		docs := rendered(t, c)
		if got := at(parse(t, docs["init"])["InitConfiguration"], "certificateKey"); got != certKey {
			t.Errorf("%s: init: certificate key %v", name, got)
		}
		for doc, data := range docs {
			if strings.Contains(string(data), certKey) && !strings.Contains(string(data), `certificateKey: "`+certKey+`"`) {
				t.Errorf("%s: %s: the certificate key is not quoted", name, doc)
			}
		}
	}
}

// A Cluster that was never validated and tries to change everything of ours.
func TestMergesNeverDropOurs(t *testing.T) {
	c := clusters(t)["minimal"]
	plain := parse(t, rendered(t, c)["init"])
	hostile := v1alpha1.RawMap{
		"apiVersion": "v0", "kind": "X", "clusterName": "x", "kubernetesVersion": "v0", "controlPlaneEndpoint": "x", "etcd": object{"external": object{"endpoints": []any{}}},
		"networking": object{"podSubnet": "x", "serviceSubnet": "x", "dnsDomain": "x"}, "apiServer": object{"certSANs": []any{}},
		"nodeRegistration": object{"name": "x", "criSocket": "x"}, "localAPIEndpoint": object{"advertiseAddress": "x", "bindPort": int64(1)},
		"certificateKey": "x", "bootstrapTokens": []any{}, "cgroupDriver": "cgroupfs", "patches": object{"directory": "x"},
	}
	k := &c.Spec.Kubeadm
	k.ClusterConfiguration, k.InitConfiguration, k.KubeletConfiguration, k.KubeProxyConfiguration = hostile, hostile, hostile, hostile
	merged := parse(t, rendered(t, c)["init"])
	for kind, ours := range plain {
		var check func(path string, want, got any)
		check = func(path string, want, got any) {
			if m, ok := want.(object); ok {
				for key := range m {
					gotMap, _ := got.(object)
					check(path+"."+key, m[key], gotMap[key])
				}
				return
			}
			if !reflect.DeepEqual(want, got) {
				t.Errorf("%s%s: %v became %v", kind, path, want, got)
			}
		}
		check("", ours, merged[kind])
	}
}

func TestLayers(t *testing.T) {
	arg := func(name, value string) any { return object{"name": name, "value": value} }
	for _, tc := range []struct {
		name         string
		below, above object
		want         object
		err          string
	}{
		{"maps key by key", object{"a": object{"x": 1, "y": 2}}, object{"a": object{"y": 3, "z": 4}}, object{"a": object{"x": 1, "y": 3, "z": 4}}, ""},
		{"lists replace", object{"a": []any{1, 2}}, object{"a": []any{3}}, object{"a": []any{3}}, ""},
		{"null replaces a scalar", object{"a": 1}, object{"a": nil}, object{"a": nil}, ""},
		{"args by name", object{"extraArgs": []any{arg("a", "1"), arg("b", "1")}}, object{"extraArgs": []any{arg("b", "2"), arg("b", "3"), arg("c", "4")}},
			object{"extraArgs": []any{arg("a", "1"), arg("b", "2"), arg("b", "3"), arg("c", "4")}}, ""},
		{"args of null", object{"kubeletExtraArgs": []any{arg("a", "1")}}, object{"kubeletExtraArgs": nil}, object{"kubeletExtraArgs": []any{arg("a", "1")}}, ""},
		{"args as a map", object{}, object{"extraArgs": object{"a": "1"}}, nil, "w.extraArgs: must be a list of name and value"},
		{"args without name", object{}, object{"extraArgs": []any{"a"}}, nil, "w.extraArgs[0]: must have a name"},
		{"scalar over map", object{"a": object{"b": object{}}}, object{"a": object{"b": 5}}, nil, "w.a.b: expected fields"},
		{"null over map", object{"a": object{}}, object{"a": nil}, nil, "w.a: expected fields"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := layers("w", tc.below, tc.above)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, %v, want %v", got, err, tc.want)
			}
		})
	}
}

func TestLayersShareNothing(t *testing.T) {
	user := object{"a": object{"b": []any{object{"c": 1}}}}
	got, err := layers("w", user, object{"a": object{"x": 1}})
	if err != nil {
		t.Fatal(err)
	}
	at(got, "a").(object)["b"].([]any)[0].(object)["c"] = 2
	if !reflect.DeepEqual(user, object{"a": object{"b": []any{object{"c": 1}}}}) {
		t.Errorf("the user's part was changed: %v", user)
	}
}

func TestParameterErrors(t *testing.T) {
	c := clusters(t)["minimal"]
	worker, _ := c.Host("w1")
	good := JoinParams{Host: c.ControlPlanes()[1], Token: token, CACertHash: caHash, CertificateKey: certKey}
	change := func(f func(*JoinParams)) JoinParams { p := good; f(&p); return p }
	for name, tc := range map[string]struct {
		run  func() ([]byte, error)
		want string
	}{
		"init without token": {func() ([]byte, error) { return Init(c, InitParams{Host: c.First()}) }, "kubeadm init on cp1: the bootstrap token"},
		"init with a bad key": {func() ([]byte, error) {
			return Init(c, InitParams{Host: c.First(), Token: token, CertificateKey: "zz"})
		}, "the certificate key"},
		"upload without key":  {func() ([]byte, error) { return UploadCerts(c, c.First(), "") }, "the certificate key is missing"},
		"upgrade to nothing":  {func() ([]byte, error) { return Upgrade(c, UpgradeParams{}) }, "the version to go to is missing"},
		"join with bad token": {func() ([]byte, error) { return JoinWorker(c, change(func(p *JoinParams) { p.Token = "s3cret" })) }, "kubeadm join of cp2: the bootstrap token"},
		"join without hash":   {func() ([]byte, error) { return JoinWorker(c, change(func(p *JoinParams) { p.CACertHash = "" })) }, "fingerprint"},
		"promote without key": {func() ([]byte, error) { return Promote(c, change(func(p *JoinParams) { p.CertificateKey = "" })) }, "promote cp2: the certificate key"},
		"promote of a worker": {func() ([]byte, error) { return Promote(c, change(func(p *JoinParams) { p.Host = worker })) }, "it has not the role control-plane"},
	} {
		data, err := tc.run()
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %s, %v, want %q", name, data, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}

func TestNewSecrets(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		token, err := NewToken()
		if err != nil || checkToken(token) != nil {
			t.Fatalf("token %q: %v", token, err)
		}
		key, err := NewCertificateKey()
		if err != nil || checkCertificateKey(key) != nil {
			t.Fatalf("key %q: %v", key, err)
		}
		if seen[token] || seen[key] {
			t.Fatal("the same secret twice")
		}
		seen[token], seen[key] = true, true
	}
}

// With KUBEADM naming a binary, kubeadm itself reads every document.
func TestKubeadmAccepts(t *testing.T) {
	binary := os.Getenv("KUBEADM")
	if binary == "" {
		t.Skip("KUBEADM names no kubeadm binary")
	}
	for name, c := range clusters(t) {
		for doc, data := range rendered(t, c) {
			t.Run(name+"/"+doc, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "config.yaml")
				if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
				out, err := exec.CommandContext(t.Context(), binary, "config", "validate", "--config", file).CombinedOutput()
				if err != nil || strings.TrimSpace(string(out)) != "ok" {
					t.Errorf("kubeadm says %v:\n%s\nof\n%s", err, out, data)
				}
			})
		}
	}
}

// TestUploadCertsAsksItsOwnHost: kubeadm asks the API server that the configuration names,
// from 1.36 on. That of another host may not run: a host that is about to become a control
// plane again has none.
func TestUploadCertsAsksItsOwnHost(t *testing.T) {
	for name, c := range clusters(t) {
		for _, h := range c.ControlPlanes() {
			data, err := UploadCerts(c, h, certKey)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, h.Name, err)
			}
			var init struct {
				LocalAPIEndpoint struct{ AdvertiseAddress string }
				NodeRegistration struct{ Name string }
			}
			first, _, _ := strings.Cut(string(data), "\n---\n")
			if err := yaml.Unmarshal([]byte(first), &init); err != nil {
				t.Fatal(err)
			}
			if init.LocalAPIEndpoint.AdvertiseAddress != h.Address || init.NodeRegistration.Name != h.Name {
				t.Errorf("%s: on %s (%s) kubeadm asks %+v", name, h.Name, h.Address, init)
			}
		}
	}
}

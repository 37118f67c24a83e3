package build

import (
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

const upstreamGoMod = `// This is a generated file. Do not edit directly.
module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require (
	github.com/blang/semver/v4 v4.0.0
	k8s.io/api v0.0.0
	k8s.io/klog/v2 v2.140.0
	k8s.io/sample-apiserver v0.0.0
)

require github.com/a/b v1.0.0 // indirect

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/sample-cli-plugin => ./staging/src/k8s.io/sample-cli-plugin
	k8s.io/sample-controller => ./staging/src/k8s.io/sample-controller
)
`

func TestRewriteKubernetesGoMod(t *testing.T) {
	out, err := rewriteKubernetesGoMod([]byte(upstreamGoMod), "v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	f, err := modfile.Parse("go.mod", out, nil)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	required := map[string]string{}
	for _, r := range f.Require {
		required[r.Mod.Path] = r.Mod.Version
	}
	for path, want := range map[string]string{
		"k8s.io/kubernetes": "v1.36.3", "k8s.io/api": "v0.36.3", "k8s.io/klog/v2": "v2.140.0",
		"github.com/blang/semver/v4": "v4.0.0", "github.com/a/b": "v1.0.0",
	} {
		if required[path] != want {
			t.Errorf("requires %s %q, want %s", path, required[path], want)
		}
	}
	if len(f.Replace) != 1 || f.Replace[0].New.Path != "k8s.io/api" || f.Replace[0].New.Version != "v0.36.3" {
		t.Errorf("replacements in:\n%s", out)
	}
	if f.Module.Mod.Path == "k8s.io/kubernetes" || f.Go.Version != "1.26.0" || len(f.Godebug) != 1 {
		t.Errorf("module, go or godebug line in:\n%s", out)
	}
	if strings.Contains(string(out), "staging") {
		t.Errorf("a part of staging is left:\n%s", out)
	}
}

func TestRewriteKubernetesGoModRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"another module": "module k8s.io/api\n\ngo 1.26.0\n", "no go.mod": "hello", "empty": "",
	} {
		if out, err := rewriteKubernetesGoMod([]byte(in), "v1.36.3"); err == nil {
			t.Errorf("%s was accepted:\n%s", name, out)
		}
	}
}

func TestNewest(t *testing.T) {
	if got := newest([]string{"v1.9.10", "v1.36.3", "v1.36.12", ""}); got != "v1.36.12" {
		t.Errorf("got %s", got)
	}
}

func TestValidate(t *testing.T) {
	for _, o := range []Options{
		{}, {Kubernetes: []string{"1.36.3"}, Etcd: DefaultEtcd()}, {Kubernetes: DefaultKubernetes(), Etcd: []string{"v3.6"}},
		{Kubernetes: []string{"v1.36.3; rm"}, Etcd: DefaultEtcd()}, {Kubernetes: DefaultKubernetes()},
	} {
		if o.validate() == nil {
			t.Errorf("%v %v was accepted", o.Kubernetes, o.Etcd)
		}
	}
	if err := (Options{Kubernetes: DefaultKubernetes(), Etcd: DefaultEtcd()}).validate(); err != nil {
		t.Error(err)
	}
}

func TestAddReplacements(t *testing.T) {
	b := goBuild{replace: map[string]string{"a.example/x": "./stub/x", "a.example/y": "b.example/y@v1.2.3"}}
	out, err := b.addReplacements([]byte("module m\n\ngo 1.26.0\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a.example/x => ./stub/x", "a.example/y => b.example/y v1.2.3"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

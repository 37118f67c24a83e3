package bundles

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

func TestBundleName(t *testing.T) {
	base := bundle.CreateOptions{KubernetesVersion: "v1.36.3", NetworkPlugin: v1alpha1.NetworkPluginFlannel}
	name := Name(base)
	if !strings.HasPrefix(name, "v1.36.3-amd64-") || name != Name(base) {
		t.Errorf("got %s", name)
	}
	withOrder := func(images ...string) string {
		o := base
		o.ExtraImages = images
		return Name(o)
	}
	if withOrder("a", "b") != withOrder("b", "a") || withOrder("a") == name {
		t.Error("extra images count, their order does not")
	}
	for what, change := range map[string]func(*bundle.CreateOptions){
		"arch":   func(o *bundle.CreateOptions) { o.Arch = "arm64" },
		"mirror": func(o *bundle.CreateOptions) { o.Mirror = "http://m" },
		"plugin": func(o *bundle.CreateOptions) { o.NetworkPlugin = v1alpha1.NetworkPluginNone },
		"etcd":   func(o *bundle.CreateOptions) { o.EtcdVersion = "v3.5.99" },
	} {
		o := base
		change(&o)
		if Name(o) == name {
			t.Errorf("%s makes no difference", what)
		}
	}
}

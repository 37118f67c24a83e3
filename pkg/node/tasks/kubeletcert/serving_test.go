package kubeletcert

import (
	"strings"
	"testing"
)

func TestSetServing(t *testing.T) {
	const plain = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n# ours\nport: 10250\n"
	for name, c := range map[string]struct {
		config string
		on     bool
		want   string
	}{
		"set":                 {plain, true, plain + "serverTLSBootstrap: true\n"},
		"set, no last line":   {strings.TrimSuffix(plain, "\n"), true, plain + "serverTLSBootstrap: true\n"},
		"set, it was false":   {"serverTLSBootstrap: false\n" + plain, true, plain + "serverTLSBootstrap: true\n"},
		"set already":         {"serverTLSBootstrap: yes\n" + plain, true, "serverTLSBootstrap: yes\n" + plain},
		"taken back":          {plain + "serverTLSBootstrap: true\n", false, plain},
		"nothing to be taken": {plain, false, plain},
		"another's field":     {"x:\n  serverTLSBootstrap: true\n", true, "x:\n  serverTLSBootstrap: true\nserverTLSBootstrap: true\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := SetServing([]byte(c.config), c.on)
			if err != nil || string(got) != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
			again, err := SetServing(got, c.on)
			if err != nil || string(again) != string(got) {
				t.Errorf("a second time: %q, %v", again, err)
			}
		})
	}
	for name, config := range map[string]string{
		"not YAML":   "a: b: c",
		"in a style": `{"kind": "KubeletConfiguration", "serverTLSBootstrap": true}`,
	} {
		if got, err := SetServing([]byte(config), false); err == nil {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

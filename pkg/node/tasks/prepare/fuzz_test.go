package prepare

import "testing"

// FuzzContainerd: what a containerd of the host's says of itself, and the configuration
// that somebody has written for it, is understood or refused; what is made of it lacks
// nothing any more.
func FuzzContainerd(f *testing.F) {
	for _, seed := range []string{"", "containerd github.com/containerd/containerd/v2 v2.1.4 abc", "containerd x 1.7.24~ds1", "version = 2\n", "version = 3\n[plugins.'io.containerd.cri.v1.runtime']\n", "disabled_plugins = ['cri']\nversion = 2\n", "version = 'x'\n", "plugins = 1\nversion = 2\n", "a = [\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := parseContainerdVersion(string(data))
		if (err == nil) != (v != nil) {
			t.Errorf("%v, %v", v, err)
		}
		var spec Spec
		out, err := correct(data, "config.toml", spec)
		if err != nil {
			return
		}
		if _, err := correct(out, "config.toml", spec); err != nil {
			t.Errorf("%q became %q, which is not understood: %v", data, out, err)
		}
	})
}

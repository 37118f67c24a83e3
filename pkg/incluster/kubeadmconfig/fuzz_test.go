package kubeadmconfig

import "testing"

// FuzzEdit: what kubeadm, or a person, has stored stays as it is where nothing is changed,
// and can be read again where something is.
func FuzzEdit(f *testing.F) {
	for _, seed := range []string{"", "apiServer:\n  extraArgs:\n  - {name: a, value: b}\nkubernetesVersion: v1.36.3\n", "a: 1\na: 2\n", "[]", "a: null\n", "a: &a {b: *a}\n", "? {}\n: x\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if same, changed, err := Edit(text, func(Fields) (bool, error) { return false, nil }); err == nil && (changed || same != text) {
			t.Errorf("%q became %q", text, same)
		}
		out, _, err := Edit(text, func(fields Fields) (bool, error) { fields["kubernetesVersion"] = "v1.36.3"; return true, nil })
		if err != nil {
			return
		}
		_, _, err = Edit(out, func(fields Fields) (bool, error) {
			if fields["kubernetesVersion"] != "v1.36.3" {
				t.Errorf("%q is written as %q", text, out)
			}
			return false, nil
		})
		if err != nil {
			t.Errorf("%q is written as %q: %v", text, out, err)
		}
	})
}

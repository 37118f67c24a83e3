package apply

import "testing"

// FuzzDecode: every object that is read can be named, or the manifest is refused.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "---\n# x\n---\napiVersion: v1\nkind: A\nmetadata: {name: b}\n", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: b}}\n", "apiVersion: v1\nkind: List\nitems: [1]\n",
		"kind: List\nitems: [null]\napiVersion: v1\n", "metadata: 1\napiVersion: v1\nkind: A\n", "{\"a\":", "- 1\n", "apiVersion: 1\nkind: []\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := Decode(data, "source")
		if err != nil {
			return
		}
		for _, o := range objects {
			if o.GetKind() == "" || o.GetAPIVersion() == "" || o.GetName() == "" {
				t.Errorf("%+v", o)
			}
		}
	})
}

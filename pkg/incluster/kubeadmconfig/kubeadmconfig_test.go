package kubeadmconfig

import (
	"errors"
	"strings"
	"testing"
)

func TestEdit(t *testing.T) {
	const text = "apiServer:\n  certSANs: [cp1, 10.0.0.100]\nother: kept\nreplicas: 3\n"
	add := func(f Fields) (bool, error) {
		server := f.Object("apiServer")
		server["certSANs"] = append(server.Texts("certSANs"), "cp2")
		f.Object("networking")["dnsDomain"] = "cluster.local"
		return true, nil
	}
	got, changed, err := Edit(text, add)
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	for _, want := range []string{"- cp1\n  - 10.0.0.100\n  - cp2\n", "other: kept\n", "replicas: 3\n", "networking:\n  dnsDomain: cluster.local\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got, changed, err := Edit(text, func(Fields) (bool, error) { return false, nil }); got != text || changed || err != nil {
		t.Errorf("nothing to change: %v %v\n%s", changed, err, got)
	}
	mine := errors.New("mine")
	if _, changed, err := Edit(text, func(Fields) (bool, error) { return true, mine }); changed || !errors.Is(err, mine) || !strings.Contains(err.Error(), "kube-system/kubeadm-config") {
		t.Errorf("an edit that fails: %v %v", changed, err)
	}
	for _, bad := range []string{"", ": :", "{}", "[a]"} {
		if _, _, err := Edit(bad, add); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

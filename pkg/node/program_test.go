package node

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// What goes on is the same request, without what was compared.
func TestCheckedRequest(t *testing.T) {
	own, err := host.FileSum(host.SelfPath)
	if err != nil {
		t.Fatal(err)
	}
	whole := Request{Cluster: "c", Task: "t", Timeout: 5, DryRun: true, Spec: json.RawMessage(`{"a":[1,"<&>"]}`)}
	asking := whole
	asking.AgentSHA256 = own
	encode := func(r Request) []byte {
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	other := asking
	other.AgentSHA256 = strings.Repeat("0", 64)
	for name, tc := range map[string]struct {
		raw   []byte
		want  string
		fails bool
	}{
		"asked for":     {encode(asking), string(encode(whole)), false},
		"not asked for": {encode(whole), string(encode(whole)), false},
		"another":       {encode(other), "", true},
		"no request":    {[]byte("{"), "{", false},
	} {
		got, err := checkedRequest(tc.raw, "")
		if string(got) != tc.want || (err != nil) != tc.fails {
			t.Errorf("%s: %s, %v, want %s", name, got, err, tc.want)
		}
	}
}

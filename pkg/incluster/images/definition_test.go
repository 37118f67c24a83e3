package images

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/images"
)

// A node that did not wait for another one says so.
func TestPushedGone(t *testing.T) {
	for name, d := range map[string]images.Data{
		"all there": {Images: 2, Gone: []string{"w1", "w2"}},
		"imported":  {Images: 2, Imported: 1, Gone: []string{"w1", "w2"}},
		"nobody":    {Images: 2, Imported: 1},
	} {
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if got := pushed(node.Result{Data: raw}); strings.Contains(got, "not waited for any longer: w1, w2") != (d.Gone != nil) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

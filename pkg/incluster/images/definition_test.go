package images

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// Control planes put images into their container runtime one after the other, workers at once.
func TestPeersBefore(t *testing.T) {
	p := peers{
		names:         map[string]string{"10.0.0.1:1": "cp1", "10.0.0.2:1": "cp2", "10.0.0.3:1": "cp3", "10.0.0.9:1": "w1"},
		controlPlanes: []string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"},
	}
	for node, want := range map[string][]string{"cp1": nil, "cp2": {"10.0.0.1:1"}, "cp3": {"10.0.0.1:1", "10.0.0.2:1"}, "w1": nil} {
		if got := p.before(corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}); !slices.Equal(got, want) {
			t.Errorf("before %s: %v, want %v", node, got, want)
		}
	}
}

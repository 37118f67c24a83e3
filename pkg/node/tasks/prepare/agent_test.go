package prepare

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

// TestAgentImageAlone: it is noted and made once; of a host whose containerd does not
// answer nothing is noted.
func TestAgentImageAlone(t *testing.T) {
	const ref = bundle.AgentRepository + ":v1"
	binary := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(binary, []byte("the agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := &daemon{images: map[string]digest.Digest{}, down: errors.New("no such socket")}
	i := &importer{h: hosttest.Open(t, t.TempDir(), hosttest.NewCommander(t)), spec: ImagesSpec{AgentImage: ref},
		progress: func(string, ...any) {}, executable: binary, runtime: d}
	if _, err := i.agent(t.Context()); err == nil || !strings.Contains(err.Error(), "no such socket") {
		t.Errorf("got %v", err)
	}
	if n := len(i.h.Changes()); n > 0 {
		t.Errorf("%d changes", n)
	}
	d.down = nil
	for _, want := range []int{1, 0} {
		got, err := i.agent(t.Context())
		if err != nil || got != (Data{ImportedImages: want}) || d.images[ref] == "" {
			t.Errorf("%+v, %v, want %d", got, err, want)
		}
	}
}

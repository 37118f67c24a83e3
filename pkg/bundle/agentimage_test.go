package bundle

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// The same agent is the same image wherever it is packed: pods name it by a digest that is
// computed elsewhere. What would change with the machine (CPUs, architecture, dates) would
// change this digest; what changes with a version of this program may.
func TestAgentImageIsDeterministic(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "agent")
	// Of some blocks of the compression, neither all alike nor all different.
	var content bytes.Buffer
	state := uint32(1)
	for range 300_000 {
		state = state*1664525 + 1013904223
		content.Write([]byte{byte(state >> 24), 'a', 'g', byte(state >> 30)})
	}
	if err := os.WriteFile(binary, content.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	const want = "sha256:8ab35b52d0ad18a600f5b999368476193c740cba4ab83f78e24788821a60047b"
	for _, procs := range []int{1, 4} {
		before := runtime.GOMAXPROCS(procs)
		image, blobs, err := AgentImage(t.Context(), AgentRepository+":v1", binary, "amd64")
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		if image.Manifest.Digest != want {
			t.Errorf("with %d CPUs it is %s, want %s", procs, image.Manifest.Digest, want)
		}
		for _, b := range image.Blobs {
			if r, size, err := blobs.Blob(t.Context(), b.Digest); err != nil || size != b.Size || r.Close() != nil {
				t.Errorf("blob %s: %d bytes, %v, want %d", b.Digest, size, err, b.Size)
			}
		}
	}
	other, _, err := AgentImage(t.Context(), AgentRepository+":v1", binary, "arm64")
	if err != nil || other.Manifest.Digest == want {
		t.Errorf("for another architecture: %s, %v", other.Manifest.Digest, err)
	}
	if _, _, err := AgentImage(t.Context(), AgentRepository+":v1", binary+"-that-is-none", "amd64"); err == nil {
		t.Error("an image was made of no binary")
	}
}

func TestIsAgentImage(t *testing.T) {
	for ref, want := range map[string]bool{
		AgentRepository + ":v1.2.3":               true,
		AgentRepository + "@sha256:00":            true,
		AgentRepository + ":v1@sha256:00":         true,
		FormerAgentRepository + ":dev-0123":       true,
		FormerAgentRepository + "@sha256:0":       true,
		AgentRepository:                           false,
		AgentRepository + "s:v1":                  false,
		AgentRepository + "/agent:v1":             false,
		"example.com/agent:v1":                    false,
		"evil.example/" + AgentRepository + ":v1": false,
		"": false,
	} {
		if got := IsAgentImage(ref); got != want {
			t.Errorf("%q: %v, want %v", ref, got, want)
		}
	}
}

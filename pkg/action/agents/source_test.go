package agents

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

func TestAgentSource(t *testing.T) {
	dir := t.TempDir()
	put := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := put("kubectl-ha")
	beside := put("kubectl-ha-agent-linux-arm64")
	source := func(goos, arch string) *Source {
		return &Source{executable: own, goos: goos, arch: arch, sums: map[string]string{}}
	}
	for _, tc := range []struct {
		goos, arch, hosts, want string
	}{
		{"linux", "amd64", "amd64", own}, {"linux", "amd64", "arm64", beside}, {"darwin", "arm64", "arm64", beside},
		{"darwin", "arm64", "amd64", ""}, {"linux", "amd64", "s390x", ""},
	} {
		got, sum, err := source(tc.goos, tc.arch).Binary(tc.hosts)
		if got != tc.want || (err == nil) != (tc.want != "") || (err == nil) != (len(sum) == 64) {
			t.Errorf("%+v: %q %q %v", tc, got, sum, err)
		}
		if err != nil && !strings.Contains(err.Error(), "kubectl-ha-agent-linux-"+tc.hosts) {
			t.Errorf("the error does not name what is missing: %v", err)
		}
	}
}

// TestAgentsThatAreThere: who creates an Operation needs an agent for all nodes, who looks takes
// what there is.
func TestAgentsThatAreThere(t *testing.T) {
	own := filepath.Join(t.TempDir(), "kubectl-ha")
	if err := os.WriteFile(own, []byte("agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &Source{executable: own, goos: "linux", arch: "amd64", sums: map[string]string{}}
	arm := corev1.Node{}
	arm.Status.NodeInfo.Architecture = "arm64"
	nodes := []corev1.Node{{}, arm}
	if got, err := s.Agents(t.Context(), nodes); err == nil || got != nil || !strings.Contains(err.Error(), "kubectl-ha-agent-linux-arm64") {
		t.Errorf("for all: %+v, %v", got, err)
	}
	if got, lacking := s.present(t.Context(), nodes); len(got) != 1 || got[0].Arch != "amd64" || len(got[0].SHA256) != 64 || lacking == nil {
		t.Errorf("those that there are: %+v, %v", got, lacking)
	}
}

// TestAgentIsPackedOnce: whoever does several things has one image, of the program as it was at
// the first; the file is not read again.
func TestAgentIsPackedOnce(t *testing.T) {
	own := filepath.Join(t.TempDir(), "kubectl-ha")
	if err := os.WriteFile(own, []byte("agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &Source{executable: own, goos: "linux", arch: "amd64", sums: map[string]string{}}
	if again, err := Or(s); err != nil || again != s {
		t.Fatalf("another source: %v", err)
	}
	first, err := s.Agents(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Agents(t.Context(), nil); err != nil || len(again) != 1 || again[0] != first[0] {
		t.Errorf("%+v, then %+v, %v", first, again, err)
	}
	if other, err := Or(nil); err != nil || other == nil || other == s {
		t.Errorf("without one: %v", err)
	}
}

// TestAgentIsTheReleases: the program beside this one is the one that was built with it.
func TestAgentIsTheReleases(t *testing.T) {
	dir := t.TempDir()
	own, beside := filepath.Join(dir, "kubectl-ha"), filepath.Join(dir, "kubectl-ha-agent-linux-arm64")
	for _, path := range []string{own, beside} {
		if err := os.WriteFile(path, []byte(path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := host.FileSum(beside)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Repeat("0a", 32)
	for what, tc := range map[string]struct {
		built map[string]string
		hosts string
		want  string
	}{
		"the same":               {map[string]string{"arm64": sum}, "arm64", ""},
		"another":                {map[string]string{"arm64": other}, "arm64", "does not match this program"},
		"no release's":           {nil, "arm64", ""},
		"the running one itself": {map[string]string{"amd64": other}, "amd64", ""},
	} {
		s := &Source{executable: own, goos: "linux", arch: "amd64", built: tc.built, sums: map[string]string{}}
		for range 2 {
			// The second answer is remembered, and may not be another.
			_, _, err := s.Binary(tc.hosts)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

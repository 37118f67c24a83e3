package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow is what these tests read of one of GitHub's workflows.
type workflow struct {
	Permissions map[string]string      `json:"permissions"`
	Jobs        map[string]workflowJob `json:"jobs"`
}

type workflowJob struct {
	RunsOn      any               `json:"runs-on"`
	Permissions map[string]string `json:"permissions"`
	Steps       []struct {
		Uses string `json:"uses"`
		Run  string `json:"run"`
	} `json:"steps"`
}

func workflows(t *testing.T) map[string]workflow {
	t.Helper()
	files, err := filepath.Glob("../../.github/workflows/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	out := map[string]workflow{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var w workflow
		if err := yaml.Unmarshal(raw, &w); err != nil || len(w.Jobs) == 0 {
			t.Fatalf("%s: %d jobs, %v", file, len(w.Jobs), err)
		}
		out[filepath.Base(file)] = w
	}
	return out
}

// TestRightsAndSources: a job that may write, or sign, runs nothing of the source, and nothing
// that was fetched for building it.
func TestRightsAndSources(t *testing.T) {
	may := 0
	for name, w := range workflows(t) {
		if !maps.Equal(w.Permissions, map[string]string{"contents": "read"}) {
			t.Errorf("%s: by default %v", name, w.Permissions)
		}
		for id, job := range w.Jobs {
			if !slices.Contains(slices.Collect(maps.Values(job.Permissions)), "write") {
				continue
			}
			may++
			for _, s := range job.Steps {
				if strings.HasPrefix(s.Uses, "actions/checkout@") || regexp.MustCompile(`\b(make|go|sh|bash)\b`).MatchString(s.Run) {
					t.Errorf("%s: %s may write, and runs what is in the source: %s%s", name, id, s.Uses, s.Run)
				}
			}
		}
	}
	if may != 1 {
		t.Errorf("%d jobs may write; the one that signs should", may)
	}
}

// TestRunnersAreThrownAway: what runs a change as root, on a machine of the project's own, leaves
// nothing behind for what comes next.
func TestRunnersAreThrownAway(t *testing.T) {
	own := 0
	for name, w := range workflows(t) {
		for id, job := range w.Jobs {
			labels, _ := job.RunsOn.([]any)
			if slices.Contains(labels, any("self-hosted")) {
				own++
				if !slices.Contains(labels, any("ephemeral")) {
					t.Errorf("%s: %s runs on %v", name, id, labels)
				}
			}
		}
	}
	if own == 0 {
		t.Error("no job runs on a machine of the project's own; is the file read?")
	}
}

// TestActionsArePinned: a tag of an action's may be moved.
func TestActionsArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)
	for name, w := range workflows(t) {
		for id, job := range w.Jobs {
			for _, s := range job.Steps {
				if s.Uses != "" && !pinned.MatchString(s.Uses) {
					t.Errorf("%s: %s uses %s", name, id, s.Uses)
				}
			}
		}
	}
}

// TestSumsOfAll: a release's sums are of every file that it has.
func TestSumsOfAll(t *testing.T) {
	r := release{root: "../..", out: t.TempDir(), version: "v1.2.3", platforms: []platform{{"linux", "amd64"}}, bills: []string{"a.spdx.json"}}
	if err := os.WriteFile(filepath.Join(r.out, "a.spdx.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	sums := map[platform]string{{"linux", "amd64"}: strings.Repeat("ab", 32)}
	if err := r.writeManifest(sums); err != nil {
		t.Fatal(err)
	}
	if err := r.writeSums(sums); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(r.out, "checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{r.platforms[0].Archive(), "a.spdx.json", "ha.yaml"} {
		if !strings.Contains(string(raw), "  "+want+"\n") {
			t.Errorf("no sum of %s:\n%s", want, raw)
		}
	}
}

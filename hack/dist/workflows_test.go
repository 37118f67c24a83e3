package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow is what the rules below are about.
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax
type workflow struct {
	Name        string            `json:"name"`
	Permissions map[string]string `json:"permissions"`
	Jobs        map[string]struct {
		RunsOn      any               `json:"runs-on"`
		Timeout     int               `json:"timeout-minutes"`
		Permissions map[string]string `json:"permissions"`
		Steps       []struct {
			Uses string         `json:"uses"`
			Run  string         `json:"run"`
			With map[string]any `json:"with"`
		} `json:"steps"`
	} `json:"jobs"`
}

// granted is what a job may have beyond reading the repository.
var granted = map[string]string{"release/contents": "write", "release/id-token": "write", "release/attestations": "write"}

var (
	pinned     = regexp.MustCompile(`^[a-z0-9-]+/[a-z0-9-]+@[0-9a-f]{40}$`)
	makeTarget = regexp.MustCompile(`\bmake ((?:[a-z][a-z0-9-]* ?)+)`)
)

// TestWorkflows: actions by their commits, since a tag may be moved; no permission that
// is not needed; nothing of the event pasted into a shell; make targets that there are.
func TestWorkflows(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../.github/workflows/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	signs := false
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var w workflow
		if err := yaml.Unmarshal(data, &w); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
			t.Errorf("%s: the workflow's permissions are %v", w.Name, w.Permissions)
		}
		for name, job := range w.Jobs {
			if job.Timeout == 0 || job.RunsOn == nil || len(job.Steps) == 0 {
				t.Errorf("%s: the job %s has no end, no machine or no steps", w.Name, name)
			}
			for what, level := range job.Permissions {
				if granted[w.Name+"/"+what] != level {
					t.Errorf("%s: the job %s may %s %s", w.Name, name, level, what)
				}
			}
			for _, s := range job.Steps {
				if s.Uses != "" && !pinned.MatchString(s.Uses) {
					t.Errorf("%s: %s is not pinned to a commit", w.Name, s.Uses)
				}
				if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != false {
					t.Errorf("%s: the job's token stays in the checkout", w.Name)
				}
				if strings.Contains(s.Run, "${{") {
					t.Errorf("%s: an expression is pasted into a script: %s", w.Name, s.Run)
				}
				for _, made := range makeTarget.FindAllStringSubmatch(s.Run, -1) {
					for _, target := range strings.Fields(made[1]) {
						if !strings.Contains(string(makefile), "\n"+target+":") {
							t.Errorf("%s: there is no make %s", w.Name, target)
						}
					}
				}
				signs = signs || w.Name == "release" && strings.Contains(s.Run, "cosign sign-blob")
			}
		}
	}
	if !signs {
		t.Error("the release is not signed")
	}
}

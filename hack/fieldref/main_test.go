package main

import (
	"os"
	"strings"
	"testing"
)

func TestReferenceIsCurrent(t *testing.T) {
	want, err := reference("../..")
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../../" + target)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("%s is stale: go run ./hack/fieldref", target)
	}
	for _, part := range []string{"| `virtualIP` | text |", "## spec.hosts", "## spec.hosts.ssh", "| `labels` | map of text |", "| `roles` | list of text |"} {
		if !strings.Contains(want, part) {
			t.Errorf("no %q", part)
		}
	}
}

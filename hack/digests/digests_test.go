package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// TestDigestsAreOfTheFixedVersions holds digests.txt and the versions together: each file
// and image whose version a release fixes is there, with a digest or as one whose digest
// is not known; and nothing else is.
func TestDigestsAreOfTheFixedVersions(t *testing.T) {
	digests, err := bundle.ReleaseDigests()
	if err != nil {
		t.Fatal(err)
	}
	all, err := fixed()
	if err != nil {
		t.Fatal(err)
	}
	if problems := compare(digests, all); len(problems) > 0 {
		t.Errorf("`make digests`, or mend pkg/bundle/digests.txt by hand:\n%s", strings.Join(problems, "\n"))
	}
	for _, name := range []string{
		// One of each kind, so that a list that has become empty is seen.
		"https://github.com/etcd-io/etcd/releases/download/" + bundle.DefaultEtcdVersion + "/etcd-" + bundle.DefaultEtcdVersion + "-linux-arm64.tar.gz",
		bundle.FlannelImage, bundle.HAProxyImage, "registry.k8s.io/pause:3.10.2", "docker.io/grafana/grafana:12.3.1",
	} {
		if !slices.ContainsFunc(all, func(f bundle.Fixed) bool { return f.Name == name }) {
			t.Errorf("%s is not among what is fixed", name)
		}
	}
}

// compare tells what is fixed and not listed, and what is listed and not fixed.
func compare(digests bundle.Digests, all []bundle.Fixed) (problems []string) {
	for _, f := range all {
		if _, ok := digests[f.Name]; !ok {
			problems = append(problems, f.Name+" is fixed, and has no line; write - where its digest is not known")
		}
	}
	for name := range digests {
		if !slices.ContainsFunc(all, func(f bundle.Fixed) bool { return f.Name == name }) {
			problems = append(problems, name+" has a line, and is not what is fixed any more")
		}
	}
	slices.Sort(problems)
	return problems
}

// TestCompare: it can fail.
func TestCompare(t *testing.T) {
	got := compare(bundle.Digests{"a:v1": "", "b:v1": digest.FromString("b")}, []bundle.Fixed{{Name: "a:v2"}, {Name: "b:v1"}})
	if len(got) != 2 || !strings.Contains(got[0], "a:v1 has a line") || !strings.Contains(got[1], "a:v2 is fixed") {
		t.Errorf("got %q", got)
	}
}

func TestRewrite(t *testing.T) {
	sum := func(s string) string { return digest.FromString(s).Encoded() }
	old := "# kept\n" + sum("a") + "  a\n\n# gone\n" + sum("old") + "  old\n-  b\n-  c\n" + sum("d") + "  d\n"
	var all []bundle.Fixed
	for _, n := range []string{"e", "a", "b", "c", "d"} {
		all = append(all, bundle.Fixed{Name: n})
	}
	upstream := map[string]string{"a": "a", "b": "b", "d": "another", "e": "e"}
	got, err := rewrite(old, all, func(f bundle.Fixed) (digest.Digest, error) {
		if upstream[f.Name] == "" {
			return "", errors.New("no answer")
		}
		return digest.FromString(upstream[f.Name]), nil
	})
	want := "# kept\n" + sum("a") + "  a\n\n# gone\n" + sum("b") + "  b\n-  c\n" + sum("d") + "  d\n" + sum("e") + "  e\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err == nil || !strings.Contains(err.Error(), "c: no answer") || !strings.Contains(err.Error(), "d: it should be") || strings.Contains(err.Error(), "a: ") {
		t.Errorf("got %v", err)
	}
	if _, err := rewrite("nonsense", nil, nil); err == nil {
		t.Error("nonsense is rewritten")
	}
}

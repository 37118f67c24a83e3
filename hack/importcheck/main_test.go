package main

import (
	"strings"
	"testing"
)

func TestRefused(t *testing.T) {
	for _, tc := range []struct{ from, to, why string }{
		{"cmd/kubectl-ha", module + "/pkg/cmd", ""},
		{"cmd/kubectl-ha", streams, ""},
		{"cmd/kubectl-ha", "github.com/spf13/cobra", "only pkg/cmd"},
		{"pkg/cmd", module + "/pkg/bootstrap", ""},
		{"pkg/bootstrap", module + "/pkg/cmd", "upwards"},
		{"pkg/bootstrap", module + "/pkg/incluster/engine", "don't know"},
		{"pkg/incluster/join", module + "/pkg/bootstrap", "don't know"},
		{"pkg/incluster/join", module + "/pkg/incluster/engine", ""},
		{"pkg/node/tasks/prepare", module + "/pkg/bundle", ""},
		{"pkg/api/v1alpha1", module + "/pkg/node", "upwards"},
		{"pkg/report", module + "/pkg/api/v1alpha1", ""},
		{"pkg/node", "go.etcd.io/etcd/client/v3", "only pkg/etcd"},
		{"pkg/node", "go.etcd.io/etcd/client/v3/concurrency", "only pkg/etcd"},
		{"pkg/etcd", "go.etcd.io/etcd/client/v3", ""},
		{"pkg/node", "github.com/containers/image/v5/copy", "only pkg/bundle"},
		{"test/e2e", "github.com/containers/image/v5/copy", ""},
		{"pkg/node", module + "/test/lab/run", "upwards"},
		{"pkg/node", module + "/pkg/util", "no place"},
	} {
		got := refused(tc.from, tc.to)
		if (got == "") != (tc.why == "") || !strings.Contains(got, tc.why) {
			t.Errorf("%s imports %s: %q, want %q", tc.from, tc.to, got, tc.why)
		}
	}
}

func TestEveryPackageNeedsAPlace(t *testing.T) {
	got := check([]pkg{{ImportPath: module + "/pkg/util"}, {ImportPath: module + "/pkg/cmdline"}, {ImportPath: module + "/pkg/plan"}})
	if len(got) != 2 {
		t.Errorf("got %q", got)
	}
}

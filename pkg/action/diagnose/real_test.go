package diagnose

import (
	"context"
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/doctor"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// TestOfARealAPI diagnoses an API server that is no cluster: what is not there is told, as a
// problem, as skipped or as missed, and never as in order.
func TestOfARealAPI(t *testing.T) {
	s := kubetest.Start(t)
	c, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "hush"}, StringData: map[string]string{"token": "hush-hush"}}
	if _, err := c.Kube.CoreV1().Secrets(secret.Namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	d, err := Examine(t.Context(), ExamineOptions{Config: s.Config})
	if err != nil {
		t.Fatal(err)
	}
	if d.ours || d.Fixes == nil {
		t.Errorf("got %+v", d)
	}
	for _, r := range d.Checks {
		if (r.ID == "control-planes" || r.ID == "etcd-strict") && (r.State != doctor.Skipped || r.Skipped == "") {
			t.Errorf("%+v", r)
		}
	}
	bundle, err := CollectSupport(t.Context(), SupportOptions{Config: s.Config, Lines: 10, Render: func(status.Report) string { return "rendered" }})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"status.json", "status.txt", "doctor.json", "nodes.json", "version.json", "events/kube-system.txt", "pods/kube-system.json"} {
		if len(bundle.Files[name]) == 0 && !strings.HasSuffix(name, ".txt") {
			t.Errorf("%s is not there", name)
		}
	}
	if _, there := bundle.Files["cluster.yaml"]; there {
		t.Error("there is no Cluster document")
	}
	if len(bundle.Missed) == 0 || !strings.Contains(string(bundle.Files["missed.txt"]), bundle.Missed[0]) {
		t.Errorf("missed: %q", bundle.Missed)
	}
	for name, content := range bundle.Files {
		if strings.Contains(string(content), "hush-hush") {
			t.Errorf("a secret is in %s", name)
		}
	}
	if found, err := Backups(t.Context(), s.Config, false); err != nil || len(found) > 0 {
		t.Errorf("no Operation tells of a backup: %v, %v", found, err)
	}
	if found, err := Backups(t.Context(), s.Config, true); action.KindOf(err) != action.Invalid || found != nil {
		t.Errorf("nobody knows the hosts: %v, %v", found, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := CollectSupport(gone, SupportOptions{Config: s.Config, Render: func(status.Report) string { return "" }}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

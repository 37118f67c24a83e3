package incluster_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// checkUpgradeRules asks the real apiserver which Upgrades it takes.
func checkUpgradeRules(t *testing.T, s *kubetest.Server) {
	t.Helper()
	clients, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	ri := clients.Dynamic.Resource(schema.GroupVersionResource{Group: v1alpha1.Group, Version: v1alpha1.Version, Resource: v1alpha1.OperationResource})
	for spec, want := range map[string]string{
		`{type: Upgrade, upgrade: {version: v1.36.3}}`: "",
		`{type: Upgrade, upgrade: {version: v1.36.3, only: nodes, maxUnavailable: "25%", drainTimeout: 1h10m, keepBackups: 5}}`:              "",
		`{type: Upgrade, upgrade: {version: v1.36.3, deleteEmptyDirData: false, ignore: [` + strings.Join(upgrade.Ignorable(), ", ") + `]}}`: "",
		`{type: Upgrade}`: "spec.upgrade is required",
		`{type: Upgrade, upgrade: {version: v1.36.3, ignore: [skew]}}`:                                     "spec.upgrade.ignore",
		`{type: Upgrade, upgrade: {version: v1.36.3, ignore: [disk, disk]}}`:                               "spec.upgrade.ignore",
		`{type: Upgrade, upgrade: {version: latest}}`:                                                      "spec.upgrade.version",
		`{type: Upgrade, upgrade: {version: v1.36.3, only: etcd}}`:                                         "spec.upgrade.only",
		`{type: Upgrade, upgrade: {version: v1.36.3, maxFailures: "1%", by: topology.kubernetes.io/zone}}`: "",
		`{type: Upgrade, upgrade: {version: v1.36.3, maxFailures: "0"}}`:                                   "",
		`{type: Upgrade, upgrade: {version: v1.36.3, maxFailures: "101%"}}`:                                "spec.upgrade.maxFailures",
		`{type: Upgrade, upgrade: {version: v1.36.3, maxFailures: "-1"}}`:                                  "spec.upgrade.maxFailures",
		`{type: Upgrade, upgrade: {version: v1.36.3, by: "a zone"}}`:                                       "spec.upgrade.by",
		`{type: Upgrade, upgrade: {version: v1.36.3, maxUnavailable: "0"}}`:                                "spec.upgrade.maxUnavailable",
		`{type: Upgrade, upgrade: {version: v1.36.3, maxUnavailable: "101%"}}`:                             "spec.upgrade.maxUnavailable",
		`{type: Upgrade, upgrade: {version: v1.36.3, drainTimeout: soon}}`:                                 "spec.upgrade.drainTimeout",
		`{type: Upgrade, upgrade: {version: v1.36.3, drainTimeout: 0s}}`:                                   "more than nothing",
		`{type: AddNode, addNode: {nodes: [w2]}}`:                                                          "",
		`{type: AddNode}`:                                                       "spec.addNode is required",
		`{type: AddNode, addNode: {nodes: []}}`:                                 "spec.addNode.nodes",
		`{type: RemoveNode, removeNode: {node: cp1, drainTimeout: 1m}}`:         "",
		`{type: RemoveNode}`:                                                    "spec.removeNode is required",
		`{type: RemoveNode, removeNode: {address: 10.0.0.1}}`:                   "spec.removeNode.node",
		`{type: RemoveNode, removeNode: {etcdMember: "https://10.0.0.4:2380"}}`: "",
		`{type: RemoveNode, removeNode: {node: cp1, etcdMember: cp4}}`:          "either spec.removeNode.node or spec.removeNode.etcdMember",
		`{type: RemoveNode, removeNode: {etcdMember: ""}}`:                      "spec.removeNode.etcdMember",
		`{type: RemoveNode, removeNode: {node: cp1, drainTimeout: whenever}}`:   "spec.removeNode.drainTimeout",
		`{type: RenewCertificates, renewCertificates: {nodes: [{name: cp1, signed: [etcd-server, etcd-peer]}, {name: cp2, local: [admin.conf], validity: 20m}]}}`: "",
		`{type: RenewCertificates}`:                                                                              "spec.renewCertificates is required",
		`{type: RenewCertificates, renewCertificates: {nodes: []}}`:                                              "spec.renewCertificates.nodes",
		`{type: RenewCertificates, renewCertificates: {nodes: [{name: cp1}]}}`:                                   "in signed or in local",
		`{type: RenewCertificates, renewCertificates: {nodes: [{name: cp1, signed: [ca]}]}}`:                     "signed",
		`{type: RenewCertificates, renewCertificates: {nodes: [{name: cp1, local: ["../x"]}]}}`:                  "local",
		`{type: RenewCertificates, renewCertificates: {nodes: [{name: cp1, local: [apiserver], validity: 0s}]}}`: "more than nothing",
		`{type: RollbackNode}`: "spec.rollbackNode is required",
		`{type: RollbackNode, rollbackNode: {node: cp1, version: v1.36.1}}`: "",
		`{type: RollbackNode, rollbackNode: {version: v1.36.1}}`:            "spec.rollbackNode.node",
	} {
		u := &unstructured.Unstructured{}
		text := fmt.Sprintf("{apiVersion: %s, kind: Operation, metadata: {generateName: x-}, spec: %s}", v1alpha1.APIVersion, spec)
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		_, err := ri.Create(t.Context(), u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if want == "" && err != nil || want != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

// checkStatusRules asks the real apiserver which conditions it takes. The type of a condition is
// Kubernetes' own, whose message may be longer than an Event's.
func checkStatusRules(t *testing.T, s *kubetest.Server) {
	t.Helper()
	api := operationsAPI(t, s)
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": v1alpha1.APIVersion, "kind": v1alpha1.OperationKind,
		"metadata": map[string]any{"generateName": "x-"}, "spec": map[string]any{"type": "RemoveLoadBalancer"}}}
	u, err := api.Create(t.Context(), u, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := api.Delete(context.Background(), u.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	for name, tc := range map[string]struct {
		change map[string]any
		want   string
	}{
		"well":                {},
		"the longest message": {change: map[string]any{"message": strings.Repeat("ä", v1alpha1.MaxConditionMessage)}},
		"too long a message":  {change: map[string]any{"message": strings.Repeat("ä", v1alpha1.MaxConditionMessage+1)}, want: "at most 1024"},
		"no type":             {change: map[string]any{"type": ""}, want: "status.conditions[0].type"},
		"no reason":           {change: map[string]any{"reason": ""}, want: "status.conditions[0].reason"},
		"another status":      {change: map[string]any{"status": "Maybe"}, want: "status.conditions[0].status"},
	} {
		c := map[string]any{"type": "Complete", "status": "False", "reason": "Running", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
		maps.Copy(c, tc.change)
		with := u.DeepCopy()
		with.Object["status"] = map[string]any{"conditions": []any{c}}
		_, err := api.UpdateStatus(t.Context(), with, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
		if tc.want == "" && err != nil || tc.want != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

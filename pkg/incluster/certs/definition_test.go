package certs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	taskcerts "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// TestHandedOver: a step gets what was signed for its node, and a resumed one the same; without
// that it says what to do.
func TestHandedOver(t *testing.T) {
	kube := fake.NewClientset()
	op := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "renewcertificates-x", UID: "u"}, Spec: v1alpha1.OperationSpec{RenewCertificates: &v1alpha1.RenewCertificatesSpec{
		Nodes: []v1alpha1.NodeCertificates{{Name: "cp1", Signed: []string{taskcerts.EtcdServer, taskcerts.EtcdClient}, Local: []string{taskcerts.APIServer}, Validity: "20m"}, {Name: "cp2", Signed: []string{taskcerts.EtcdPeer}}}}}}
	turn := func(node string) engine.Turn {
		return engine.Turn{Env: engine.Env{Clients: &client.Clients{Kube: kube}, Operation: op}, Step: v1alpha1.StepStatus{Node: node}}
	}
	if _, err := install(t.Context(), turn("cp1")); err == nil || !strings.Contains(err.Error(), "is gone") || !strings.Contains(err.Error(), "next: abort") {
		t.Errorf("nothing was handed over: %v", err)
	}
	signed := map[string]taskcerts.InstallSpec{"cp1": {Certificates: map[string][]byte{taskcerts.EtcdServer: []byte("s"), taskcerts.EtcdClient: []byte("c")}}}
	for range 2 {
		if err := HandOver(t.Context(), kube, op, signed); err != nil {
			t.Fatal(err)
		}
	}
	s, err := kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Get(t.Context(), SecretName(op.Name), metav1.GetOptions{})
	if err != nil || len(s.OwnerReferences) != 1 || len(s.Data) != 2 {
		t.Fatalf("%+v %v", s, err)
	}
	req, err := install(t.Context(), turn("cp1"))
	if err != nil || req.Task != tasks.InstallCertificates {
		t.Fatal(err)
	}
	var spec taskcerts.InstallSpec
	if err := json.Unmarshal(req.Spec, &spec); err != nil || string(spec.Certificates[taskcerts.EtcdServer]) != "s" || string(spec.Certificates[taskcerts.EtcdClient]) != "c" || len(spec.Certificates) != 2 {
		t.Errorf("%s %v", req.Spec, err)
	}
	if _, err := install(t.Context(), turn("cp2")); err == nil || !strings.Contains(err.Error(), "etcd-peer of cp2 was not signed") {
		t.Errorf("one that was not signed: %v", err)
	}
	if _, err := install(t.Context(), turn("cp3")); err == nil {
		t.Error("a node that the operation does not name")
	}
	if req, err = renew(t.Context(), turn("cp1")); err != nil || req.Task != tasks.RenewCertificates {
		t.Fatal(err)
	}
	var local taskcerts.RenewSpec
	if err := json.Unmarshal(req.Spec, &local); err != nil || local.Validity != 20*time.Minute || len(local.Names) != 1 || local.Due {
		t.Errorf("%s %v", req.Spec, err)
	}
	if err := HandOver(t.Context(), fake.NewClientset(), op, nil); err != nil {
		t.Errorf("nothing to be handed over: %v", err)
	}
}

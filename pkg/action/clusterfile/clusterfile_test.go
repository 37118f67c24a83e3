package clusterfile

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func TestNew(t *testing.T) {
	host := func(name, address string, role v1alpha1.Role) v1alpha1.Host {
		return v1alpha1.Host{Name: name, Address: address, Roles: []v1alpha1.Role{role}}
	}
	cp, worker, etcd := host("a", "192.0.2.1", v1alpha1.RoleControlPlane), host("w", "192.0.2.2", v1alpha1.RoleWorker), host("e", "192.0.2.3", v1alpha1.RoleEtcd)
	for name, tc := range map[string]struct {
		p    v1alpha1.TemplateParams
		says string // empty: it is right
	}{
		"an example":      {v1alpha1.TemplateParams{}, ""},
		"complete":        {v1alpha1.TemplateParams{Name: "lab", VirtualIP: "192.0.2.9", Hosts: []v1alpha1.Host{cp, worker}}, ""},
		"only a worker":   {v1alpha1.TemplateParams{VirtualIP: "192.0.2.9", Hosts: []v1alpha1.Host{worker}}, "--control-plane"},
		"only etcd":       {v1alpha1.TemplateParams{VirtualIP: "192.0.2.9", Hosts: []v1alpha1.Host{etcd}}, "--control-plane"},
		"no address":      {v1alpha1.TemplateParams{VirtualIP: "nonsense"}, "virtualIP"},
		"no such version": {v1alpha1.TemplateParams{KubernetesVersion: "v1.2.3"}, "v1.2.3"},
		"two of a name":   {v1alpha1.TemplateParams{VirtualIP: "192.0.2.9", Hosts: []v1alpha1.Host{cp, cp}}, "do not make a valid Cluster file"},
	} {
		data, err := New(tc.p)
		if tc.says != "" {
			if action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %q, %v", name, action.KindOf(err), err)
			}
			continue
		}
		c, _, loadErr := v1alpha1.Load(data, "")
		if err != nil || loadErr != nil {
			t.Errorf("%s: %v, %v", name, err, loadErr)
			continue
		}
		if tc.p.Name != "" && c.Metadata.Name != tc.p.Name || tc.p.Name == "" && !strings.HasPrefix(c.Metadata.Name, "ha-") {
			t.Errorf("%s: it is called %s", name, c.Metadata.Name)
		}
	}
	first, err := New(v1alpha1.TemplateParams{})
	second, err2 := New(v1alpha1.TemplateParams{})
	if err != nil || err2 != nil || string(first) == string(second) {
		t.Errorf("two clusters have the same name; %v, %v", err, err2)
	}
}

const inventoryText = "[primary-master]\nm1 ansible_host=192.0.2.1\n[secondary-masters]\nm2 ansible_host=192.0.2.2\nm3 ansible_host=192.0.2.3\n" +
	"[masters:children]\nprimary-master\nsecondary-masters\n[minions]\nw1 ansible_host=192.0.2.4\n[nodes:children]\nmasters\nminions\n[etcd:children]\nmasters\n"

func TestOfInventory(t *testing.T) {
	o := InventoryOptions{Data: []byte(inventoryText), Name: "my.inventory", File: "cluster.yaml",
		Folder: fstest.MapFS{"group_vars/all.yml": {Data: []byte("NOBODY_KNOWS_THIS: 1\n")}}}
	c, err := OfInventory(o)
	if err != nil {
		t.Fatal(err)
	}
	if c.Incomplete == nil || !strings.Contains(c.Incomplete.Error(), "cluster.yaml:") || !strings.Contains(c.Told, "  NOBODY_KNOWS_THIS (") {
		t.Errorf("it lacks a virtual IP: %v; %s", c.Incomplete, c.Told)
	}
	for _, want := range []string{"# Created from my.inventory by ", "\n# Without a counterpart:\n#   NOBODY_KNOWS_THIS (", "\nkind: Cluster\n"} {
		if !strings.Contains(string(c.Content), want) {
			t.Errorf("no %q in\n%s", want, c.Content)
		}
	}
	o.Folder = fstest.MapFS{"group_vars/all.yml": {Data: []byte("MASTER_VIP: 192.0.2.99\n")}}
	c, err = OfInventory(o)
	if err != nil || c.Incomplete != nil {
		t.Errorf("%v, %v\n%s", err, c.Incomplete, c.Content)
	}
	o.Data = []byte("[unclosed\n")
	if _, err := OfInventory(o); action.KindOf(err) != action.Invalid {
		t.Errorf("no inventory: %v", err)
	}
}

package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

func TestInitWritesAFileThatIsValid(t *testing.T) {
	t.Chdir(t.TempDir())
	code, out, errOut := run(t, "init", "--name", "lab", "--virtual-ip", "192.0.2.9", "--control-plane", "a=192.0.2.1", "--worker", "w=192.0.2.2")
	if code != cli.ExitOK || !strings.Contains(out, "kubectl ha preflight -f cluster.yaml") {
		t.Fatalf("%d %s %s", code, out, errOut)
	}
	data, err := os.ReadFile("cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := v1alpha1.Load(data, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Metadata.Name != "lab" || c.Spec.VirtualIP != "192.0.2.9" || len(c.Spec.Hosts) != 2 || c.First().Name != "a" {
		t.Errorf("got %+v", c)
	}
	if code, _, errOut := run(t, "init"); code != cli.ExitUsage || !strings.Contains(errOut, "--force") {
		t.Errorf("the file is replaced: %d %s", code, errOut)
	}
	if code, _, errOut := run(t, "init", "--force"); code != cli.ExitOK {
		t.Errorf("%d %s", code, errOut)
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
}

func TestInitToStandardOutput(t *testing.T) {
	t.Chdir(t.TempDir())
	code, out, _ := run(t, "init", "--out", "-")
	if _, _, err := v1alpha1.Load([]byte(out), ""); code != cli.ExitOK || err != nil {
		t.Errorf("%d %v", code, err)
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
}

func TestClusterFileFromStandardInput(t *testing.T) {
	_, file, _ := run(t, "init", "--out", "-", "--virtual-ip", "192.0.2.9", "--control-plane", "a=192.0.2.1")
	code, _, errOut := runIn(t, file, "bootstrap", "-f", "-")
	if code != cli.ExitUsage || !strings.Contains(errOut, "--yes") {
		t.Errorf("%d %s", code, errOut)
	}
}

func TestManifestNextToTheClusterFile(t *testing.T) {
	dir := t.TempDir()
	_, file, _ := run(t, "init", "--out", "-", "--virtual-ip", "192.0.2.9", "--control-plane", "a=192.0.2.1")
	file = strings.Replace(file, "\nspec:\n", "\nspec:\n  network: {plugin: manifest, manifest: net.yaml}\n", 1)
	path := filepath.Join(dir, "cluster.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cli.LoadCluster(path, nil); err == nil || !strings.Contains(err.Error(), "net.yaml") || !strings.Contains(err.Error(), "kubectl get secret --namespace ha-system cluster") {
		t.Errorf("got %v", err)
	}
	const manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: net}\n"
	if err := os.WriteFile(filepath.Join(dir, "net.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := cli.LoadCluster(path, nil)
	if err != nil || c.Spec.Network.ManifestContent != manifest {
		t.Errorf("%v", err)
	}
}

func TestInitFromInventory(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	put := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("old/my.inventory", "[primary-master]\nm1 ansible_host=192.0.2.1\n[secondary-masters]\nm2 ansible_host=192.0.2.2\n"+
		"m3 ansible_host=192.0.2.3\n[masters:children]\nprimary-master\nsecondary-masters\n[minions]\nw1 ansible_host=192.0.2.4\n"+
		"[nodes:children]\nmasters\nminions\n[etcd:children]\nmasters\n")
	put("old/group_vars/all.yml", "NOBODY_KNOWS_THIS: 1\n")
	put("old/group_vars/all.yml~", "MASTER_VIP: 192.0.2.99\n")
	put("old/group_vars/masters/main.yml", "POD_NETWORK_CIDR: 10.50.0.0/16\n")
	put("old/host_vars/w1/address.yml", "ansible_port: 2222\n")
	code, _, errOut := run(t, "init", "--from-inventory", "old/my.inventory")
	for _, want := range []string{"NOBODY_KNOWS_THIS", "not complete yet", "group_vars/all.yml~ was not read: Ansible ignores backups (~)"} {
		if code != cli.ExitOK || !strings.Contains(errOut, want) {
			t.Errorf("%d %s lacks %s", code, errOut, want)
		}
	}
	data, err := os.ReadFile("cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := v1alpha1.Decode(data, "")
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if c.Spec.VirtualIP != "" || c.Spec.Network.PodSubnet != "10.50.0.0/16" || c.Workers()[0].SSH == nil || c.Workers()[0].SSH.Port != 2222 {
		t.Errorf("read otherwise than Ansible does:\n%s", data)
	}
	if len(c.ControlPlanes()) != 3 || len(c.Workers()) != 1 || !strings.Contains(string(data), "# Without a counterpart:") {
		t.Errorf("got:\n%s", data)
	}
	if code, _, errOut := run(t, "init", "--from-inventory", "nowhere"); code != cli.ExitUsage {
		t.Errorf("%d %s", code, errOut)
	}
	if code, _, errOut := run(t, "init", "--from-inventory", "old/my.inventory", "--name", "x"); code != cli.ExitUsage {
		t.Errorf("%d %s", code, errOut)
	}
}

package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/test/bundletest"
)

// A replacement puts its hosts into the document twice, and has one bundle, which it closes.
func TestOneBundleForAReplacement(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bundle.tar")
	bundletest.Create(t, file, "example.com/team/a:v1")
	stored := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "test"}, Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3", VirtualIP: "10.0.0.100",
		Hosts: []v1alpha1.Host{{Name: "cp1", Address: "10.0.0.11", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}, {Name: "w1", Address: "10.0.0.21"}}}}
	stored.SetDefaults()
	given := *stored
	o := &nodeAddOptions{file: "cluster.yaml", bundleFile: file, names: []string{"w1"}, given: &given}
	o.Stored = stored
	for range 2 {
		// That this bundle is of one image only is found once it is open.
		if err := o.merge(); err == nil || !strings.Contains(err.Error(), "Kubernetes") {
			t.Fatalf("merge: %v", err)
		}
	}
	if open := openFiles(t, file); open != 1 {
		t.Errorf("the bundle is open %d times", open)
	}
	if o.close(); openFiles(t, file) != 0 {
		t.Error("the bundle is still open")
	}
}

// openFiles counts this process's handles of a file.
func openFiles(t *testing.T, path string) (n int) {
	t.Helper()
	const handles = "/proc/self/fd"
	entries, err := os.ReadDir(handles)
	if err != nil {
		t.Skipf("handles can't be counted here: %v", err)
	}
	for _, e := range entries {
		// One that has gone meanwhile is none.
		if to, err := os.Readlink(filepath.Join(handles, e.Name())); err == nil && to == path {
			n++
		}
	}
	return n
}

// A member of etcd is named in the place of a node, and without what is about hosts.
func TestRemoveArgs(t *testing.T) {
	for line, want := range map[string]string{
		"w1":                                   "",
		"":                                     "name the node",
		"w1 w2":                                "name the node",
		"--etcd-member cp4":                    "",
		"cp4 --etcd-member 10":                 "in the place of a node",
		"--etcd-member=":                       "--etcd-member is empty",
		"--etcd-member cp4 -f cluster.yaml":    "--filename is about a host",
		"--etcd-member cp4 --fenced":           "--fenced is about a host",
		"--etcd-member cp4 --force-drain":      "--force-drain is about a host",
		"--etcd-member cp4 --drain-timeout 1m": "--drain-timeout is about a host",
		"--etcd-member cp4 --delete-emptydir-data": "--delete-emptydir-data is about a host",
	} {
		c := newNodeRemove(genericiooptions.NewTestIOStreamsDiscard(), cli.NewAccess())
		err := c.ParseFlags(strings.Fields(line))
		if err == nil {
			err = c.ValidateArgs(c.Flags().Args())
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

// What is printed for one member is not what is printed for another: an Operation's intent
// can't be changed.
func TestRemoveMemberObject(t *testing.T) {
	for member, want := range map[string]string{
		"https://10.0.0.4:2380": "etcd-member-10-0-0-4-2380", "https://[2001:DB8::4]:2380": "etcd-member-2001-db8--4--2380",
		"8e9e05c52164694d": "etcd-member-8e9e05c52164694d", "CP_4": "etcd-member-cp-4",
	} {
		o := &nodeRemoveOptions{spec: v1alpha1.RemoveNodeSpec{EtcdMember: member}}
		_, got := o.what()
		if got != want || len(validation.IsDNS1123Subdomain("removenode-"+got)) > 0 {
			t.Errorf("%s: %s, want %s", member, got, want)
		}
	}
}

// The script is one that a shell can read, and hands the request over on standard input.
func TestEnrolScript(t *testing.T) {
	script, err := template.ParseFS(manifests.FS, manifests.EnrolScript)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := script.Execute(&b, map[string]string{"Host": "w3", "Cluster": "test", "Display": program.Name, "File": "cluster.yaml", "Until": "soon", "Request": `{"token":"SECRET $HOME"}`}); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if strings.Contains(line, "SECRET") && !strings.HasPrefix(line, "{") {
			t.Errorf("a secret outside of the request: %s", line)
		}
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell to read it")
	}
	// A program that prints what it was given.
	run := exec.Command(sh, "-s", "cat", "bundle.tar")
	run.Stdin = strings.NewReader(strings.Replace(b.String(), `exec "$program" agent enrol --bundle "$bundle"`, `exec "$program"`, 1))
	out, err := run.CombinedOutput()
	if err != nil || string(out) != `{"token":"SECRET $HOME"}`+"\n" {
		t.Errorf("%v: %s", err, out)
	}
}

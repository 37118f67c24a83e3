//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// statusReport is the part of `status -o json` that the tests look at.
type statusReport struct {
	Health   string
	Problems []struct{ Severity, Subject, Message string }
	API      struct {
		Holder, Asked string
		Since         *time.Time
	}
	ControlPlanes []struct {
		Node                                    string
		APIServer, ControllerManager, Scheduler struct {
			Healthy, Leader bool
			Version         string
		}
	}
	Etcd []struct {
		Node                      string
		Answers, Measured, Leader bool
		DBBytes                   int64
		FsyncP99Milliseconds      float64
	}
	Nodes        []struct{ Name, NotReady string }
	Certificates []struct{ Node, What string }
}

// health runs the verb, whose exit code has to be the verdict's.
func (c *cluster) health(t testing.TB, args ...string) statusReport {
	t.Helper()
	r := c.ha(t, suiteDeadline, append([]string{"status", "--kubeconfig", c.kubeconfig, "-o", "json"}, args...)...)
	var s statusReport
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	if want := map[string]int{"healthy": 0, "degraded": 3, "broken": 6}[s.Health]; r.code != want {
		t.Errorf("exit code %d of a cluster that is %s", r.code, s.Health)
	}
	return s
}

// TestStatus: every component is asked itself, and the holder is the one that has the address.
func TestStatus(t *testing.T) {
	c := sharedCluster(t)
	c.settled(t)
	s := c.health(t)
	leaders := map[string]int{}
	for _, cp := range s.ControlPlanes {
		if !cp.APIServer.Healthy || !cp.ControllerManager.Healthy || !cp.Scheduler.Healthy || cp.APIServer.Version != c.version {
			t.Errorf("control plane: %+v", cp)
		}
		if cp.ControllerManager.Leader {
			leaders["controller-manager"]++
		}
		if cp.Scheduler.Leader {
			leaders["scheduler"]++
		}
	}
	for _, m := range s.Etcd {
		if !m.Answers || !m.Measured || m.DBBytes == 0 || m.FsyncP99Milliseconds == 0 {
			t.Errorf("etcd: %+v", m)
		}
		if m.Leader {
			leaders["etcd"]++
		}
	}
	if len(s.ControlPlanes) != 3 || len(s.Etcd) != 3 || leaders["controller-manager"] != 1 || leaders["scheduler"] != 1 || leaders["etcd"] != 1 {
		t.Errorf("%d control planes, %d members, leaders %v", len(s.ControlPlanes), len(s.Etcd), leaders)
	}
	if s.Health == "broken" || s.API.Holder != c.holder(t) || len(s.Nodes) != 4 {
		t.Errorf("got %+v", s)
	}
	text := c.ha(t, suiteDeadline, "status", "--kubeconfig", c.kubeconfig)
	for _, l := range strings.Split(text.stdout, "\n") {
		if len([]rune(l)) > 100 {
			t.Errorf("longer than 100 columns: %s", l)
		}
	}
}

// TestStatusDeep: the files on the hosts tell of all certificates, and since when the
// address is where it is; nothing is left of the look.
func TestStatusDeep(t *testing.T) {
	c := sharedCluster(t)
	c.settled(t)
	s := c.health(t, "--deep")
	where := map[string]int{}
	for _, cert := range s.Certificates {
		where[cert.Node]++
		for _, part := range []string{"etcd/pki/peer.crt", "kubernetes/controller-manager.conf", "kubelet/pki/kubelet-client-current.pem"} {
			if strings.HasSuffix(cert.What, part) {
				where[part]++
			}
		}
	}
	if where["etcd/pki/peer.crt"] != 3 || where["kubernetes/controller-manager.conf"] != 3 || where["kubelet/pki/kubelet-client-current.pem"] != 4 || where["cp1"] < 10 {
		t.Errorf("certificates: %v", where)
	}
	if s.API.Since == nil || s.API.Holder != c.holder(t) {
		t.Errorf("api: %+v", s.API)
	}
	eventually(t, suiteDeadline, "no Job is left of the look", func() (bool, string) {
		jobs, err := c.client.BatchV1().Jobs("ha-system").List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		for _, j := range jobs.Items {
			if strings.HasPrefix(j.Name, "inspect-") {
				return false, j.Name
			}
		}
		return true, ""
	})
}

// TestStatusOneAPIServer: with one apiserver left the status is there, and says so.
func TestStatusOneAPIServer(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	const manifest, away = "/etc/kubernetes/manifests/kube-apiserver.yaml", "/root/kube-apiserver.yaml"
	down := c.names("control-plane")[1:]
	back := func() {
		for _, h := range down {
			c.exec(t, h, "sh", "-c", "test ! -e "+away+" || mv "+away+" "+manifest)
		}
		c.settled(t)
	}
	defer back()
	for _, h := range down {
		c.exec(t, h, "mv", manifest, away)
	}
	eventually(t, suiteDeadline, "one apiserver is left, and it is said", func() (bool, string) {
		s := c.health(t, "-f", c.file)
		for _, p := range s.Problems {
			if strings.Contains(p.Message, "only one apiserver of 3 answers") && s.Health == "degraded" {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%+v", s.Problems)
	})
}

// TestDoctorFix: what an aborted Operation and a careless person left is found, and mended.
func TestDoctorFix(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	ctx := context.Background()
	if _, err := c.client.CoreV1().Nodes().Patch(ctx, "w1", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"kubectl-ha.dev/cordoned-by":"upgrade-gone"}},"spec":{"unschedulable":true}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.AppsV1().Deployments("kube-system").Patch(ctx, "coredns", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	found := c.ha(t, suiteDeadline, "doctor", "--kubeconfig", c.kubeconfig)
	if found.code != 3 || !strings.Contains(found.stdout, "operation upgrade-gone cordoned it, and is over") || !strings.Contains(found.stdout, "CoreDNS has one pod") {
		t.Errorf("doctor: %s", found)
	}
	dry := c.ha(t, suiteDeadline, "doctor", "--fix", "--dry-run", "--kubeconfig", c.kubeconfig)
	if dry.code != 0 || !strings.Contains(dry.stderr, "To be repaired: coredns, uncordon") {
		t.Errorf("doctor --fix --dry-run: %s", dry)
	}
	if r := c.ha(t, 2*suiteDeadline, "doctor", "--fix", "--yes", "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Fatalf("doctor --fix: %s", r)
	}
	n, err := c.client.CoreV1().Nodes().Get(ctx, "w1", metav1.GetOptions{})
	if err != nil || n.Spec.Unschedulable || n.Annotations["kubectl-ha.dev/cordoned-by"] != "" {
		t.Errorf("w1 is still cordoned: %v", err)
	}
	c.checkDNSSpread(t)
	if again := c.ha(t, suiteDeadline, "doctor", "--quick", "--kubeconfig", c.kubeconfig); again.code != 0 {
		t.Errorf("doctor after its own mending: %s", again)
	}
}

// TestAdoptFindsTheCluster: what is found from the cluster itself is what it was made of.
func TestAdoptFindsTheCluster(t *testing.T) {
	c := sharedCluster(t)
	r := c.ha(t, suiteDeadline, "adopt", "--dry-run", "--kubeconfig", c.kubeconfig)
	if r.code != 0 {
		t.Fatal(r)
	}
	for _, want := range []string{"virtualIP: " + c.vip, "topology: external", "plugin: flannel", "kubernetesVersion: " + c.version, "name: cp3", "name: w1"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in:\n%s", want, r.stdout)
		}
	}
	if again := c.ha(t, suiteDeadline, "adopt", "--yes", "--kubeconfig", c.kubeconfig); again.code != 2 {
		t.Errorf("adopting one's own: %s", again)
	}
}

// TestSupportBundle: none of the cluster's real secrets is in it, and the logs are.
func TestSupportBundle(t *testing.T) {
	c := sharedCluster(t)
	c.settled(t)
	file := filepath.Join(t.TempDir(), "support.tar.gz")
	if r := c.ha(t, suiteDeadline, "support-bundle", "--out", file, "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Fatal(r)
	}
	all := unpack(t, file)
	for _, want := range []string{"status.json", "doctor.json", "operations.json", "nodes/cp1/facts.json", "nodes/cp1/kubelet.service.log", "nodes/cp2/etcd.service.log", "cluster.yaml"} {
		if len(all["kubectl-ha-support/"+want]) == 0 {
			t.Errorf("there is no %s; not had were %s", want, all["kubectl-ha-support/missed.txt"])
		}
	}
	secrets := map[string][]byte{}
	for _, f := range []string{"/etc/kubernetes/pki/ca.key", "/etc/kubernetes/pki/sa.key", "/etc/etcd/pki/peer.key", "/etc/kubernetes/admin.conf"} {
		secrets[f] = []byte(c.exec(t, "cp1", "cat", f))
	}
	own, err := os.ReadFile(c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	secrets["the kubeconfig"] = own
	looked := 0
	for name, content := range all {
		for what, secret := range secrets {
			for _, line := range bytes.Split(secret, []byte("\n")) {
				// A line that is long enough to be of a key; a kubeconfig's CA is no secret.
				_, value, _ := bytes.Cut(line, []byte("client-key-data: "))
				if !bytes.Contains(line, []byte("client-key-data")) && !bytes.Contains(line, []byte(": ")) {
					value = line
				}
				if len(value) < 40 {
					continue
				}
				looked++
				if bytes.Contains(content, value) {
					t.Errorf("%s has a part of %s", name, what)
				}
			}
		}
		if bytes.Contains(content, []byte("PRIVATE KEY")) {
			t.Errorf("%s has a private key", name)
		}
	}
	if looked == 0 {
		t.Error("nothing was looked for")
	}
}

// unpack reads a tar.gz.
func unpack(t testing.TB, file string) map[string][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if out[h.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	pushDeadline = 5 * time.Minute
	// reportDeadline is for kubelets to tell of a new image: they look about
	// twice a minute.
	reportDeadline = 3 * time.Minute
	workersOnly    = "!node-role.kubernetes.io/control-plane"
)

// pushedImage is an image made on the spot, of random layers and a program that
// waits, as an archive of docker's, in a bundle.
type pushedImage struct {
	ref, bundle string
	size        int64
}

func (c *cluster) makeImage(t *testing.T, title string, megabytes int) pushedImage {
	t.Helper()
	dir := t.TempDir()
	var layers []v1.Layer
	for range 3 {
		layers = append(layers, tarLayer(t, dir, "data", megabytes*1000000/3))
	}
	layers = append(layers, programLayer(t, dir))
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.Architecture, config.OS, config.Config.Entrypoint = "amd64", "linux", []string{"/wait"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	p := pushedImage{ref: "example.com/e2e/" + title + ":v1", bundle: filepath.Join(dir, "bundle.tar")}
	tag, err := name.NewTag(p.ref)
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, "saved.tar")
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		t.Fatal(err)
	}
	if r := c.ha(t, suiteDeadline, "bundle", "create", "--from", archive, "--out", p.bundle); r.code != 0 {
		t.Fatalf("bundle create: %s", r)
	}
	info, err := os.Stat(p.bundle)
	if err != nil {
		t.Fatal(err)
	}
	p.size = info.Size()
	return p
}

// tarLayer is a layer with one file of random bytes.
func tarLayer(t *testing.T, dir, file string, size int) v1.Layer {
	t.Helper()
	data := make([]byte, size)
	if _, err := io.ReadFull(rand.Reader, data); err != nil {
		t.Fatal(err)
	}
	return fileLayer(t, dir, file, data)
}

// programLayer is a layer with a static program that waits for ever.
func programLayer(t *testing.T, dir string) v1.Layer {
	t.Helper()
	source := filepath.Join(dir, "wait.go")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"time\"\n\nfunc main() { time.Sleep(24 * time.Hour) }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, suiteDeadline, "env", "CGO_ENABLED=0", "GOFLAGS=", "go", "build", "-o", filepath.Join(dir, "wait"), source)
	data, err := os.ReadFile(filepath.Join(dir, "wait"))
	if err != nil {
		t.Fatal(err)
	}
	return fileLayer(t, dir, "wait", data)
}

func fileLayer(t *testing.T, dir, file string, data []byte) v1.Layer {
	t.Helper()
	work, err := os.MkdirTemp(dir, "layer-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, file), data, 0o755); err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(work, "layer.tar")
	must(t, suiteDeadline, "tar", "-C", work, "-cf", packed, file)
	layer, err := tarball.LayerFromFile(packed)
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// images runs a verb about images.
func (c *cluster) images(t *testing.T, deadline time.Duration, args ...string) result {
	t.Helper()
	return c.ha(t, deadline, append([]string{"images", "--kubeconfig", c.kubeconfig}, args...)...)
}

// states are how an image stands on each node, by `images list`.
func (c *cluster) states(t *testing.T, p pushedImage) map[string]string {
	t.Helper()
	r := c.images(t, suiteDeadline, "list", "--bundle", p.bundle, "-o", "json")
	var m struct {
		Images []struct {
			Ref    string
			States map[string]string
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &m); r.code != 0 || err != nil || len(m.Images) != 1 || m.Images[0].Ref != p.ref {
		t.Fatalf("images list: %v %s", err, r)
	}
	return m.Images[0].States
}

// everywhere waits until all nodes, or all but those named, report an image.
func (c *cluster) everywhere(t *testing.T, p pushedImage, but ...string) {
	t.Helper()
	eventually(t, reportDeadline, p.ref+" is present", func() (bool, string) {
		states := c.states(t, p)
		for _, b := range but {
			delete(states, b)
		}
		for _, s := range states {
			if s != "present" {
				return false, fmt.Sprint(states)
			}
		}
		return len(states) > 0, ""
	})
}

// running is a push in the background.
type running struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
}

func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(p)
}

func (r *running) printed() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

func (c *cluster) startPush(t *testing.T, args ...string) *running {
	t.Helper()
	argv := c.haArgv(append([]string{"images", "push", "--kubeconfig", c.kubeconfig, "-o", "json"}, args...)...)
	r := &running{cmd: exec.Command(argv[0], argv[1:]...)}
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = c.dir, r, r
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill() }) // It has usually ended.
	return r
}

// sending waits until some of it has left the workstation, and returns the node
// that it goes through.
func (r *running) sending(t *testing.T) (through string) {
	t.Helper()
	eventually(t, suiteDeadline, "the push is sending", func() (bool, string) {
		text := r.printed()
		for _, line := range strings.Split(text, "\n") {
			var e struct{ Kind, Step, Message string }
			if json.Unmarshal([]byte(line), &e) != nil || e.Step != "send" {
				continue
			}
			if node, ok := strings.CutPrefix(e.Message, "through "); ok {
				through = node
			}
			if e.Kind == "progress" && through != "" && !strings.HasPrefix(e.Message, "0.0 ") {
				return true, ""
			}
		}
		return false, tail(text, 500)
	})
	return through
}

// bytes are how many it has sent, and how many of them the nodes hold, as far as it
// has told.
func (r *running) bytes(t *testing.T) (sent, held int64) {
	t.Helper()
	for line := range strings.Lines(r.printed()) {
		var e struct{ Kind, Step, Message string }
		if json.Unmarshal([]byte(line), &e) != nil || e.Step != "send" {
			continue
		}
		for part := range strings.SplitSeq(e.Message, ", ") {
			if text, ok := strings.CutSuffix(part, " sent"); ok {
				sent = max(sent, parseSize(t, text))
			}
			if text, _, ok := strings.Cut(part, " of "); ok && strings.HasSuffix(part, " in the cluster") {
				held = max(held, parseSize(t, text))
			}
		}
	}
	return sent, held
}

// parseSize reads a size as the product writes it.
func parseSize(t *testing.T, text string) int64 {
	t.Helper()
	number, unit, _ := strings.Cut(text, " ")
	n, err := strconv.ParseFloat(number, 64)
	factor, ok := map[string]float64{"KiB": 1 << 10, "MiB": 1 << 20}[unit]
	if err != nil || !ok {
		t.Fatalf("%q is no size", text)
	}
	return int64(n * factor)
}

// end waits for its end and returns the exit code.
func (r *running) end(t *testing.T, deadline time.Duration) int {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- r.cmd.Wait() }()
	select {
	case <-done:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(deadline):
		t.Fatalf("the push did not end: %s", tail(r.printed(), 1500))
		return -1
	}
}

// runsOn runs an image on a node that may not be pulled.
func (c *cluster) runsOn(t *testing.T, node string, p pushedImage) *corev1.Pod {
	t.Helper()
	pods := c.client.CoreV1().Pods("default")
	pod, err := pods.Create(context.Background(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "pushed-"},
		Spec: corev1.PodSpec{NodeName: node, Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}, Containers: []corev1.Container{{
			Name: "c", Image: p.ref, ImagePullPolicy: corev1.PullNever}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, suiteDeadline, p.ref+" runs on "+node, func() (bool, string) {
		now, err := pods.Get(context.Background(), pod.Name, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		return now.Status.Phase == corev1.PodRunning, fmt.Sprint(now.Status)
	})
	return pod
}

// leases are containerd's on all hosts: what one holds is not collected, and one
// that a push leaves holds an image's content for a day. Those of pods' sandboxes,
// which CRI names by the sandboxes' ids, go with their pods.
func (c *cluster) leases(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, h := range c.names("control-plane", "worker") {
		for _, id := range strings.Fields(c.exec(t, h, "ctr", "-n", "k8s.io", "leases", "ls", "-q")) {
			if sum, err := hex.DecodeString(id); err != nil || len(sum) != sha256.Size {
				out[h+" "+id] = true
			}
		}
	}
	return out
}

// nothingLeft looks for what a push must not leave: secrets in the cluster,
// pieces and the feed's directory on the hosts, leases that were not there before
// it, privileged pods.
func (c *cluster) nothingLeft(t *testing.T, before map[string]bool) {
	t.Helper()
	eventually(t, suiteDeadline, "nothing of the push is left in ha-system", func() (bool, string) {
		secrets, err := c.client.CoreV1().Secrets("ha-system").List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		pods, err := c.client.CoreV1().Pods("ha-system").List(context.Background(), metav1.ListOptions{FieldSelector: "status.phase=Running"})
		if err != nil {
			return false, err.Error()
		}
		return len(secrets.Items)+len(pods.Items) == 0, fmt.Sprintf("%d secrets, %d pods", len(secrets.Items), len(pods.Items))
	})
	for _, h := range c.names("control-plane", "worker") {
		for _, dir := range []string{"/var/lib/kubectl-ha/swarm", "/run/kubectl-ha-images"} {
			if r := c.try(t, h, nil, "ls", "-d", dir); r.code == 0 {
				t.Errorf("%s is left on %s: %s", dir, h, c.try(t, h, nil, "ls", "-lR", dir))
			}
		}
	}
	// The kubelet's own pulls have leases too, for a moment.
	eventually(t, suiteDeadline, "no lease of the push is left in containerd", func() (bool, string) {
		now := c.leases(t)
		maps.DeleteFunc(now, func(lease string, _ bool) bool { return before[lease] })
		return len(now) == 0, fmt.Sprint(now)
	})
}

// TestImagesPush: an image gets from the workstation into every node, once; a
// pod runs with it that may not pull; again nothing is sent; prune leaves what
// is in use, and removes what is not.
func TestImagesPush(t *testing.T) {
	c := sharedCluster(t)
	c.settled(t)
	leases := c.leases(t)
	p := c.makeImage(t, "push", 30)
	r := c.images(t, pushDeadline, "push", p.bundle)
	if r.code != 0 {
		t.Fatal(r)
	}
	t.Log(tail(r.stdout, 600))
	c.nothingLeft(t, leases)
	worker := c.names("worker")[0]
	pod := c.runsOn(t, worker, p)
	c.everywhere(t, p)
	before := c.operations(t)
	began := time.Now()
	r = c.images(t, suiteDeadline, "push", p.bundle)
	if took := time.Since(began); r.code != 0 || !strings.Contains(r.stdout, "every node has what it needs") || c.operations(t) != before {
		t.Errorf("the second push took %s: %s", took, r)
	}
	prune := []string{"prune", "--keep", suite.version, "--unused"}
	if r := c.images(t, pushDeadline, append(prune, "--yes")...); r.code != 0 || strings.Contains(r.stdout, p.ref) {
		t.Errorf("prune of an image in use: %s", r)
	}
	soon := int64(1)
	if err := c.client.CoreV1().Pods("default").Delete(context.Background(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &soon}); err != nil {
		t.Fatal(err)
	}
	eventually(t, suiteDeadline, "the pod is gone", func() (bool, string) {
		_, err := c.client.CoreV1().Pods("default").Get(context.Background(), pod.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	// An image is in use for as long as there is a container of it.
	eventually(t, suiteDeadline, "its container is gone", func() (bool, string) {
		r := c.try(t, worker, nil, "ctr", "-n", "k8s.io", "containers", "ls")
		return r.code == 0 && !strings.Contains(r.stdout, "example.com/e2e/push"), r.stdout
	})
	if r := c.images(t, pushDeadline, append(prune, "--dry-run")...); r.code != 0 || strings.Count(r.stdout, p.ref) != len(c.names("control-plane", "worker")) {
		t.Errorf("dry run of a prune: %s", r)
	}
	if r := c.images(t, pushDeadline, append(prune, "--yes")...); r.code != 0 {
		t.Errorf("prune: %s", r)
	}
	for _, h := range c.names("control-plane", "worker") {
		if r := c.try(t, h, nil, "ctr", "-n", "k8s.io", "images", "ls", "-q"); strings.Contains(r.stdout, "example.com/e2e/push") {
			t.Errorf("%s still has it: %s", h, r)
		}
	}
	c.settled(t)
}

// operations counts them.
func (c *cluster) operations(t *testing.T) int {
	t.Helper()
	r := c.ha(t, suiteDeadline, "operation", "list", "--kubeconfig", c.kubeconfig, "-o", "json")
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal([]byte(r.stdout), &list); r.code != 0 || err != nil {
		t.Fatalf("operation list: %v %s", err, r)
	}
	return len(list.Items)
}

// TestImagesByRoleAndName: control planes' images stay with the control planes,
// unless one names an image and nodes; that one is pulled by the workstation.
func TestImagesByRoleAndName(t *testing.T) {
	c := sharedCluster(t)
	c.settled(t)
	leases := c.leases(t)
	worker := c.names("worker")[0]
	r := c.images(t, suiteDeadline, "list", "--missing", suite.version)
	if r.code != 0 || !strings.Contains(r.stdout, "Every node has what it needs") {
		t.Errorf("list --missing: %s", r)
	}
	scheduler := "registry.k8s.io/kube-scheduler:" + suite.version
	if r := c.try(t, worker, nil, "ctr", "-n", "k8s.io", "images", "ls", "-q"); strings.Contains(r.stdout, scheduler) {
		t.Fatalf("%s has a control plane's image: %s", worker, r)
	}
	r = c.images(t, pushDeadline, "push", scheduler, "--mirror", c.cached.Mirror, "--trust-mirror", "--selector", workersOnly, "--via", "direct")
	if r.code != 0 {
		t.Fatal(r)
	}
	if r := c.try(t, worker, nil, "crictl", "--runtime-endpoint", "unix:///run/containerd/containerd.sock", "inspecti", scheduler); r.code != 0 {
		// The hosts have no crictl of their own; ctr shows the name that CRI goes by.
		r = c.try(t, worker, nil, "ctr", "-n", "k8s.io", "images", "ls", "name=="+scheduler)
		if !strings.Contains(r.stdout, "io.cri-containerd.image=managed") {
			t.Errorf("on %s: %s", worker, r)
		}
	}
	c.nothingLeft(t, leases)
	// As it was, for whoever looks next.
	c.exec(t, worker, "ctr", "-n", "k8s.io", "images", "rm", scheduler)
}

// TestImagesDisturbed: the workstation is killed in the middle and the
// coordinator's pods are deleted; then two workstations push the same at once.
// Both end well, the image is everywhere, and what the first brought into the
// cluster is not sent again.
func TestImagesDisturbed(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	leases := c.leases(t)
	p := c.makeImage(t, "disturbed", 90)
	first := c.startPush(t, p.bundle, "--max-rate", "40Mbit")
	first.sending(t)
	eventually(t, suiteDeadline, "a third is in the cluster", func() (bool, string) {
		_, held := first.bytes(t)
		return held >= p.size/3, fmt.Sprintf("%d of %d bytes", held, p.size)
	})
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.end(t, suiteDeadline)
	now := int64(0)
	err := c.client.CoreV1().Pods("ha-system").DeleteCollection(context.Background(), metav1.DeleteOptions{GracePeriodSeconds: &now},
		metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=coordinator", FieldSelector: "status.phase=Running"})
	if err != nil {
		t.Fatal(err)
	}
	before := c.operations(t)
	two, three := c.startPush(t, p.bundle), c.startPush(t, p.bundle)
	for _, r := range []*running{two, three} {
		if code := r.end(t, pushDeadline); code != 0 {
			t.Errorf("exit %d: %s", code, tail(r.printed(), 1500))
		}
	}
	_, held := first.bytes(t)
	sent := int64(0)
	for _, r := range []*running{two, three} {
		n, _ := r.bytes(t)
		sent += n
	}
	// What was on its way when it was cut off goes twice, at most a window of 16 MiB.
	const twice = 16 << 20
	if most := p.size - held + twice + p.size/20; sent == 0 || sent > most {
		t.Errorf("after %d of %d bytes had come the two sent %d more, want at most %d", held, p.size, sent, most)
	}
	if after := c.operations(t); after != before {
		t.Errorf("there were %d operations, now there are %d: the push was not gone on with", before, after)
	}
	c.everywhere(t, p)
	c.nothingLeft(t, leases)
}

// TestImagesNodeStopped: the node that is fed is stopped in the middle. The
// others get all, the Operation names the one that did not, and once that is
// back the same command brings it what it lacks, not from the workstation.
func TestImagesNodeStopped(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	p := c.makeImage(t, "stopped", 60)
	r := c.startPush(t, p.bundle, "--max-rate", "40Mbit")
	seed := r.sending(t)
	t.Logf("stopping %s", seed)
	c.run(t, "kill", seed)
	t.Cleanup(func() {
		c.run(t, "start", seed)
		c.settled(t)
	})
	if code := r.end(t, 10*time.Minute); code != 1 || !strings.Contains(r.printed(), "images/"+seed) {
		t.Errorf("exit %d: %s", code, tail(r.printed(), 1500))
	}
	c.everywhere(t, p, seed)
	c.run(t, "start", seed)
	c.settled(t)
	// The lease that died with the host keeps what has come for the next push, and
	// ends by itself within a day (leaseLife); that push leaves none of its own.
	leases := c.leases(t)
	again := c.images(t, pushDeadline, "push", p.bundle)
	if again.code != 0 || !strings.Contains(again.stdout, "KiB were sent") {
		t.Errorf("the push again: %s", again)
	}
	c.everywhere(t, p)
	c.nothingLeft(t, leases)
}

package bootstrap

import (
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
)

// The addresses are of the loopback network, so that the fake hosts can listen;
// a user's would not be valid there.
func testCluster(t *testing.T, change func(*v1alpha1.Cluster)) *v1alpha1.Cluster {
	t.Helper()
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "lab"}, Spec: v1alpha1.ClusterSpec{
		KubernetesVersion: "v1.36.3", VirtualIP: "127.0.7.100"}}
	for i, name := range []string{"cp1", "cp2", "cp3"} {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: name, Address: fmt.Sprintf("127.0.7.%d", 11+i),
			Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	}
	c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: "w1", Address: "127.0.7.21", Roles: []v1alpha1.Role{v1alpha1.RoleWorker}})
	if change != nil {
		change(c)
	}
	c.SetDefaults()
	return c
}

// bare is a host as it comes: fit, with nothing on it.
func bare(c *v1alpha1.Cluster, h v1alpha1.Host) HostObservation {
	f := observe.Facts{Hostname: h.Name, MachineID: "id-" + h.Name, MACs: map[string]string{"eth0": "02:00:" + h.Name}, Time: time.Now(), Arch: "amd64",
		CPUs: 2, MemoryBytes: 4 * gib, CgroupVersion: 2, Controllers: []string{"cpu", "memory", "pids", "cpuset"}, Systemd: "252",
		Interface: "eth0", PrefixLength: 24, DefaultRoute: true,
		Commands: map[string]string{"ip": "/bin/ip", "mount": "/bin/mount", "apt-get": "/usr/bin/apt-get"},
		Disks: map[string]observe.Disk{"/": {TotalBytes: 40 * gib, FreeBytes: 30 * gib}, "/var/lib": {TotalBytes: 40 * gib, FreeBytes: 30 * gib},
			c.Spec.Etcd.DataDir: {TotalBytes: 40 * gib, FreeBytes: 30 * gib}}}
	return HostObservation{Facts: f}
}

func bareHosts(c *v1alpha1.Cluster) Observation {
	o := Observation{}
	for _, h := range c.Spec.Hosts {
		o[h.Name] = bare(c, h)
	}
	return o
}

const testCA = "0123abcd"

// complete is a host of a cluster that has been made to the end.
func complete(c *v1alpha1.Cluster, h v1alpha1.Host) HostObservation {
	o := bare(c, h)
	f := &o.Facts
	f.Ours = &observe.Ours{Cluster: c.Metadata.Name, Done: []string{"prepare", "images"},
		Settings: map[string]string{"prepare": settings(prepareSettings(c, h)), "etcd": settings(c.Spec.Etcd.ExtraArgs)}}
	f.AgentInstalled = true
	f.State.Joined, f.State.KubeletActive, f.State.KubeletVersion = true, true, c.Spec.KubernetesVersion
	f.Binaries, f.Images = map[string]string{}, map[string]string{"agent": "sha256:a"}
	for _, b := range testContents().For(roles(c, h)).Binaries {
		f.Binaries[b.Path] = b.SHA256
	}
	for _, i := range testContents().For(roles(c, h)).Images {
		f.Images[i.Ref] = string(i.Manifest.Digest)
	}
	f.Listeners = map[int32]string{}
	for _, p := range portsOf(c, h) {
		f.Listeners[p.number] = p.process[:min(len(p.process), commLength)] + " (pid 352)"
	}
	if isIn(c.EtcdMembers(), h) {
		f.State.EtcdActive, f.State.EtcdData, f.State.EtcdCA = true, true, testCA
		f.Ours.Done = append(f.Ours.Done, "etcd")
	}
	if h.Has(v1alpha1.RoleControlPlane) {
		f.State.ControlPlane, f.State.APIServerReady, f.State.ClusterCA = true, true, "cluster-ca"
		f.State.APIServerVersion = c.Spec.KubernetesVersion
		f.Commands["keepalived"] = "/usr/sbin/keepalived"
		f.Ours.Done = append(f.Ours.Done, "vip")
	}
	switch {
	case h.Name == c.First().Name:
		f.Ours.Done = append(f.Ours.Done, "init")
		f.VirtualIPHere = true
	case h.Has(v1alpha1.RoleControlPlane):
		f.Ours.Done = append(f.Ours.Done, "join-node", "promote")
		f.VirtualIPAnswers = "02:00:cp1"
		f.VRRPRouters = []int{int(c.Spec.Keepalived.RouterID)}
	case isIn(c.Nodes(), h):
		f.Ours.Done = append(f.Ours.Done, "join-node")
	}
	return o
}

func completeHosts(c *v1alpha1.Cluster) Observation {
	o := Observation{}
	for _, h := range c.Spec.Hosts {
		o[h.Name] = complete(c, h)
	}
	return o
}

// testBlob and testConfig are the contents of the two blobs of the test bundle.
const testBlob, testConfig = "the kubelet, say", "an image's config"

func blobOf(content string) bundle.Blob {
	return bundle.Blob{Digest: digest.FromString(content), Size: int64(len(content))}
}

func testContents() bundle.Contents {
	blob := blobOf(testBlob)
	nodes := []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleWorker}
	c := bundle.Contents{KubernetesVersion: "v1.36.3", Arch: "amd64",
		Binaries: []bundle.Binary{{Name: "kubelet", Path: "/usr/local/bin/kubelet", SHA256: "aa", Blob: blob, For: nodes},
			{Name: "etcd", Path: "/usr/local/bin/etcd", SHA256: "bb", Blob: blob, For: []v1alpha1.Role{v1alpha1.RoleEtcd}}}}
	for _, ref := range []string{"registry.k8s.io/pause:3.10", bundle.FlannelImage, bundle.FlannelCNIPluginImage} {
		c.Images = append(c.Images, bundle.Image{Ref: ref, Manifest: blob, Blobs: []bundle.Blob{blob, blobOf(testConfig)}, For: nodes})
	}
	return c
}

func testInputs() Inputs {
	c := testContents()
	return Inputs{Contents: &c, Identity: testCA, EtcdCAs: []string{testCA}, AgentImage: "agent"}
}

// TestFormerName: a host that an earlier build has joined is known to have joined.
func TestFormerName(t *testing.T) {
	o := HostObservation{}
	for name, tc := range map[string]struct {
		ours *observe.Ours
		want bool
	}{
		"nothing":         {nil, false},
		"another task":    {&observe.Ours{Done: []string{tasks.Prepare}}, false},
		"its name":        {&observe.Ours{Done: []string{tasks.JoinNode}}, true},
		"its former name": {&observe.Ours{Done: []string{"enrol"}}, true},
	} {
		o.Facts.Ours = tc.ours
		if o.done(tasks.JoinNode) != tc.want || o.done(tasks.Promote) {
			t.Errorf("%s: %v", name, o.done(tasks.JoinNode))
		}
	}
}

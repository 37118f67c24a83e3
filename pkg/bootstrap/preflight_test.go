package bootstrap

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func lines(findings []report.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.String())
	}
	return out
}

func TestPreflightFindsNothingOnGoodHosts(t *testing.T) {
	c := testCluster(t, nil)
	in := testInputs()
	if got := Preflight(c, completeHosts(c), in); len(got) > 0 {
		t.Errorf("complete cluster: %q", lines(got))
	}
	in.Identity, in.EtcdCAs = "", nil
	if got := Preflight(c, bareHosts(c), in); len(got) > 0 {
		t.Errorf("bare hosts: %q", lines(got))
	}
	mixed := completeHosts(c)
	w1, _ := c.Host("w1")
	mixed["w1"] = bare(c, w1)
	if got := Preflight(c, mixed, testInputs()); len(got) > 0 {
		t.Errorf("a bare host beside a cluster: %q", lines(got))
	}
}

// run has hosts run a version of Kubernetes.
func run(o map[string]*HostObservation, version string, hosts ...string) {
	for _, h := range hosts {
		s := &o[h].Facts.State
		if s.KubeletVersion = version; s.ControlPlane {
			s.APIServerVersion = version
		}
	}
}

func TestVersionHint(t *testing.T) {
	for name, tc := range map[string]struct {
		runs    []string
		servers map[string]bool
		want    string
	}{
		"upgraded since": {[]string{"v1.36.3"}, map[string]bool{"v1.36.3": true}, "write kubernetesVersion: v1.36.3"},
		"workers behind": {[]string{"v1.34.1"}, map[string]bool{"v1.35.4": true}, "kubectl ha upgrade v1.35.4"},
		"half-way":       {[]string{"v1.36.3"}, map[string]bool{"v1.35.4": true, "v1.36.3": true}, "was not finished"},
		"two others":     {[]string{"v1.36.1", "v1.36.3"}, map[string]bool{"v1.36.1": true, "v1.36.3": true}, "was not finished"},
	} {
		if got := versionHint("v1.35.4", tc.runs, tc.servers); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

type finderror struct{ error }

func (finderror) Explain() (string, string) { return "", "do this" }

func TestPreflight(t *testing.T) {
	for name, x := range map[string]struct {
		complete bool // else bare
		cluster  func(*v1alpha1.Cluster)
		in       func(*Inputs)
		hosts    func(o map[string]*HostObservation)
		// want are "severity check host" of all findings.
		want []string
		says string
	}{
		"unreachable": {hosts: func(o map[string]*HostObservation) { o["cp2"].Err = finderror{errors.New("cp2: no answer")} },
			want: []string{"error connection cp2"}, says: "error: cp2: no answer"},
		"other cluster": {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.Ours = &observe.Ours{Cluster: "prod"} },
			want: []string{"error other-cluster w1"}, says: `"prod"`},
		"another cluster of the name": {hosts: func(o map[string]*HostObservation) {
			o["w1"].Facts.Ours = &observe.Ours{Cluster: "lab", Identity: "cafe"}
		}, want: []string{"error other-cluster w1"}, says: "cafe"},
		"of a cluster whose CA is lost": {hosts: func(o map[string]*HostObservation) {
			o["w1"].Facts.Ours = &observe.Ours{Cluster: "lab", Identity: "cafe"}
		}, in: func(in *Inputs) { in.Identity, in.EtcdCAs = "", nil }, want: []string{"error other-cluster w1"}, says: "not on this machine"},
		"keepalived and the virtual IP are others'": {cluster: func(c *v1alpha1.Cluster) {
			c.Spec.Endpoint.ManagedBy, c.Spec.Keepalived = v1alpha1.EndpointOthers, v1alpha1.Keepalived{}
		}, hosts: func(o map[string]*HostObservation) {
			f := &o["cp2"].Facts
			f.ForeignKeepalived, f.VirtualIPHere, f.VirtualIPAnswers = true, true, "02:00:00:00:00:01"
		}},
		"leftovers": {hosts: func(o map[string]*HostObservation) {
			o["w1"].Facts.Leftovers = []string{"/etc/kubernetes/kubelet.conf"}
		}, want: []string{"error leftovers w1"}, says: "/etc/kubernetes/kubelet.conf"},
		"leftovers on a host that is prepared only": {hosts: func(o map[string]*HostObservation) {
			o["w1"].Facts.Ours = &observe.Ours{Cluster: "lab", Done: []string{"prepare"}}
			o["w1"].Facts.Leftovers = []string{"/etc/kubernetes/kubelet.conf"}
		}, want: []string{"error leftovers w1"}},
		"upgraded since the file was written": {complete: true, hosts: func(o map[string]*HostObservation) { run(o, "v1.99.0", "cp1", "cp2", "cp3", "w1") },
			want: []string{"error version "}, says: "cp1, cp2, cp3 and w1 run v1.99.0"},
		"an upgrade half-way": {complete: true, hosts: func(o map[string]*HostObservation) { run(o, "v1.99.0", "cp1") },
			want: []string{"error version "}, says: "but cp1 runs v1.99.0"},
		"workers left behind": {complete: true, hosts: func(o map[string]*HostObservation) {
			o["w1"].Facts.State.KubeletVersion = "v1.35.4"
		}, want: []string{"error version "}, says: "w1 runs v1.35.4"},
		"another version on a host of nobody": {hosts: func(o map[string]*HostObservation) { run(o, "v1.99.0", "w1") }},
		"no systemd":                          {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.Systemd = "" }, want: []string{"error systemd w1"}},
		"unsupported architecture": {hosts: func(o map[string]*HostObservation) {
			for _, h := range o {
				h.Facts.Arch = "s390x"
			}
		}, want: []string{"error architecture cp1", "error architecture cp2", "error architecture cp3", "error architecture w1", "error bundle "}},
		"mixed architectures": {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.Arch = "arm64" },
			want: []string{"error architecture "}, says: "arm64: w1"},
		"an argument that the bundle's etcd has no more": {cluster: func(c *v1alpha1.Cluster) {
			c.Spec.Etcd.ExtraArgs = map[string]string{"experimental-corrupt-check-time": "1h"}
		}, in: func(in *Inputs) { in.Contents.EtcdVersion = "v3.7.3" },
			want: []string{"error etcd-arguments "}, says: "etcd 3.7 has no flag experimental-corrupt-check-time any more"},
		"an argument that the bundle's etcd has": {cluster: func(c *v1alpha1.Cluster) {
			c.Spec.Etcd.ExtraArgs = map[string]string{"experimental-corrupt-check-time": "1h"}
		}, in: func(in *Inputs) { in.Contents.EtcdVersion = "v3.6.16" }},
		"bundle of another version": {in: func(in *Inputs) { in.Contents.KubernetesVersion = "v1.35.4" },
			want: []string{"error bundle "}, says: "v1.35.4"},
		"cgroup v1": {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.CgroupVersion = 1 },
			want: []string{"error cgroups w1"}},
		"cgroup v1 on an older version": {cluster: func(c *v1alpha1.Cluster) { c.Spec.KubernetesVersion = "v1.34.4" },
			in:    func(in *Inputs) { in.Contents.KubernetesVersion = "v1.34.4" },
			hosts: func(o map[string]*HostObservation) { o["w1"].Facts.CgroupVersion = 1 }},
		"cgroup v1 accepted": {cluster: func(c *v1alpha1.Cluster) {
			c.Spec.Kubeadm.KubeletConfiguration = v1alpha1.RawMap{"failCgroupV1": false}
		}, hosts: func(o map[string]*HostObservation) { o["w1"].Facts.CgroupVersion = 1 }},
		"no memory cgroup": {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.Controllers = []string{"cpu", "pids", "cpuset"} },
			want: []string{"error cgroups w1"}, says: "missing: memory"},
		"small": {hosts: func(o map[string]*HostObservation) {
			o["cp1"].Facts.MemoryBytes, o["cp1"].Facts.CPUs, o["w1"].Facts.MemoryBytes, o["w1"].Facts.CPUs = gib, 1, 256*mib, 1
		}, want: []string{"error cpus cp1", "error memory cp1", "warning memory w1"}},
		"small, which is to be ignored": {cluster: func(c *v1alpha1.Cluster) { c.Spec.Kubeadm.IgnorePreflightErrors = []string{"NumCPU", "Mem"} },
			hosts: func(o map[string]*HostObservation) { o["cp1"].Facts.MemoryBytes, o["cp1"].Facts.CPUs = gib, 1 },
			want:  []string{"warning cpus cp1", "warning memory cp1"}},
		"full disk": {hosts: func(o map[string]*HostObservation) {
			o["w1"].Facts.Disks["/var/lib"] = observe.Disk{TotalBytes: 40 * gib, FreeBytes: 100 * mib}
		}, want: []string{"error disk w1"}, says: "100 MiB are free in /var/lib"},
		"disk nearly full": {hosts: func(o map[string]*HostObservation) {
			o["w1"].Facts.Disks["/var/lib"] = observe.Disk{TotalBytes: 40 * gib, FreeBytes: 5 * gib}
		}, want: []string{"warning disk w1"}},
		"no room for etcd": {hosts: func(o map[string]*HostObservation) {
			o["cp1"].Facts.Disks["/var/lib/etcd"] = observe.Disk{TotalBytes: gib, FreeBytes: mib}
		}, want: []string{"error disk cp1"}},
		"swap": {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.SwapBytes = gib }, want: []string{"error swap w1"}},
		"swap accepted": {cluster: func(c *v1alpha1.Cluster) {
			c.Spec.Kubeadm.KubeletConfiguration = v1alpha1.RawMap{"failSwapOn": false}
		}, hosts: func(o map[string]*HostObservation) { o["w1"].Facts.SwapBytes = gib }},
		"commands missing": {hosts: func(o map[string]*HostObservation) { delete(o["w1"].Facts.Commands, "ip") },
			want: []string{"error commands w1"}},
		"programs can't be started": {hosts: func(o map[string]*HostObservation) {
			o["w1"].Facts.NoPrograms = map[string]string{"/usr/local/bin": "read-only file system", "/opt/cni/bin": "permission denied"}
		}, want: []string{"error programs w1", "error programs w1"}, says: "programs can't be kept and started in /usr/local/bin: read-only file system"},
		"port taken": {hosts: func(o map[string]*HostObservation) {
			o["cp2"].Facts.Listeners = map[int32]string{6443: "nginx"}
		}, want: []string{"error port cp2"}, says: "port 6443 is taken by nginx"},
		"kubelet of nobody knows what": {hosts: func(o map[string]*HostObservation) {
			o["cp2"].Facts.Listeners = map[int32]string{10250: "kubelet"}
		}, want: []string{"error port cp2"}},
		"port taken in a cluster of ours": {complete: true, hosts: func(o map[string]*HostObservation) {
			o["cp2"].Facts.Listeners[6443] = "haproxy"
		}, want: []string{"error port cp2"}},
		"address nowhere":  {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.Interface = "" }, want: []string{"error address w1"}},
		"no default route": {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.DefaultRoute = false }, want: []string{"warning route w1"}},
		"keepalived of others": {hosts: func(o map[string]*HostObservation) { o["cp1"].Facts.ForeignKeepalived = true },
			want: []string{"error keepalived cp1"}},
		"keepalived missing": {hosts: func(o map[string]*HostObservation) {
			delete(o["cp1"].Facts.Commands, "apt-get")
			delete(o["w1"].Facts.Commands, "apt-get")
		}, want: []string{"error keepalived cp1"}},
		"virtual IP in use": {hosts: func(o map[string]*HostObservation) { o["cp1"].Facts.VirtualIPAnswers = "aa:bb" },
			want: []string{"error virtual-ip cp1"}, says: "aa:bb"},
		"virtual IP on a host of ours to be": {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.VirtualIPHere = true },
			want: []string{"error virtual-ip w1"}},
		"virtual IP in another subnet": {cluster: func(c *v1alpha1.Cluster) { c.Spec.VirtualIP = "127.0.9.9" },
			want: []string{"error virtual-ip cp1", "error virtual-ip cp2", "error virtual-ip cp3"}, says: "outside of 127.0.7.0/24"},
		"router id of another cluster": {cluster: func(c *v1alpha1.Cluster) { c.Spec.Keepalived.RouterID = 51 },
			hosts: func(o map[string]*HostObservation) { o["cp2"].Facts.VRRPRouters = []int{7, 51} },
			want:  []string{"error router-id "}, says: "51"},
		"etcd data of nobody": {hosts: func(o map[string]*HostObservation) { o["cp1"].Facts.State.EtcdData = true },
			want: []string{"error etcd-data cp1"}},
		"etcd data lost": {complete: true, hosts: func(o map[string]*HostObservation) { o["cp2"].Facts.State.EtcdData = false },
			want: []string{"error etcd-lost cp2"}},
		"two etcd CAs": {complete: true, hosts: func(o map[string]*HostObservation) { o["cp2"].Facts.State.EtcdCA = "other" },
			want: []string{"error etcd-ca "}},
		"a worker of a cluster with the same name": {complete: true, hosts: func(o map[string]*HostObservation) { o["w1"].Facts.State.ClusterCA = "other" },
			want: []string{"error cluster-ca "}},
		"two clusters' CAs": {complete: true, hosts: func(o map[string]*HostObservation) { o["cp2"].Facts.State.ClusterCA = "other" },
			want: []string{"error cluster-ca "}},
		"CA key not here": {complete: true, in: func(in *Inputs) { in.Identity, in.EtcdCAs = "", nil }, want: []string{"error etcd-ca "}, says: "not on this machine"},
		"own CA": {complete: true, in: func(in *Inputs) {
			in.OwnCAs = map[certs.Authority]string{certs.AuthorityKubernetes: "cluster-ca", certs.AuthorityFrontProxy: "ffff", certs.AuthorityEtcd: testCA}
		}},
		"own CA is another": {complete: true, in: func(in *Inputs) { in.OwnCAs = map[certs.Authority]string{certs.AuthorityKubernetes: "ffff"} },
			want: []string{"error own-ca "}, says: "spec.pki.kubernetes is another CA (ffff) than the one that is in use on cp1, cp2, cp3 (cluster-ca)"},
		"own front-proxy CA is another": {complete: true, hosts: func(o map[string]*HostObservation) { o["cp2"].Facts.State.FrontProxyCA = "eeee" },
			in: func(in *Inputs) { in.OwnCAs = map[certs.Authority]string{certs.AuthorityFrontProxy: "ffff"} }, want: []string{"error own-ca "}, says: "spec.pki.frontProxy is another CA (ffff) than the one that is in use on cp2 (eeee)"},
		"CA is another here": {complete: true, in: func(in *Inputs) { in.Identity, in.EtcdCAs = "ffff", []string{"ffff"} }, want: []string{"error etcd-ca "}},
		"clones": {hosts: func(o map[string]*HostObservation) {
			o["cp2"].Facts.MachineID, o["cp2"].Facts.Hostname, o["cp2"].Facts.MACs = "id-cp1", "cp1", map[string]string{"a": "x", "eth0": "02:00:cp1"}
		}, want: []string{"error hostname ", "error machine-id ", "error mac "}, says: "cp1 and cp2 have the same machine id"},
		"a BMC's network on every host": {hosts: func(o map[string]*HostObservation) {
			for _, h := range o {
				h.Facts.MACs["usb0"] = "02:bmc"
			}
		}, want: []string{"warning mac "}, says: "cp1 (usb0) and cp2 (usb0) and cp3 (usb0) and w1 (usb0) have the same MAC address 02:bmc"},
		"a card's address on another's unused interface": {hosts: func(o map[string]*HostObservation) {
			o["cp2"].Facts.MACs["eth1"] = "02:00:cp1"
		}, want: []string{"warning mac "}, says: "cp1 (eth0) and cp2 (eth1)"},
		"a bond has the address of its cards": {hosts: func(o map[string]*HostObservation) {
			for _, h := range o {
				h.Facts.MACs["bond0"], h.Facts.MACs["eth1"] = h.Facts.MACs["eth0"], h.Facts.MACs["eth0"]
			}
		}},
		"clones behind a bond": {hosts: func(o map[string]*HostObservation) {
			for _, name := range []string{"cp1", "w1"} {
				o[name].Facts.Interface, o[name].Facts.MACs = "bond0", map[string]string{"aaa": "m", "bond0": "m", "eth0": "m"}
			}
		}, want: []string{"error mac "}, says: "cp1 and w1 have the same MAC address m"},
		"the same on the virtual IP's interface": {cluster: func(c *v1alpha1.Cluster) { c.Spec.Keepalived.Interface = "eth1" },
			hosts: func(o map[string]*HostObservation) {
				for _, h := range o {
					h.Facts.MACs["eth1"] = "m"
				}
			}, want: []string{"error mac "}, says: "cp1 and cp2 and cp3 have the same MAC address m"},
		"a plugin of the user's own, and two networks": {cluster: func(c *v1alpha1.Cluster) { c.Spec.Network.Plugin = v1alpha1.NetworkPluginManifest },
			hosts: func(o map[string]*HostObservation) { o["w1"].Facts.DefaultInterface = "nat0" },
			want:  []string{"warning pod-network w1"}, says: "leads over nat0, the host's address 127.0.7.21 is on eth0"},
		"flannel, and two networks": {hosts: func(o map[string]*HostObservation) { o["w1"].Facts.DefaultInterface = "nat0" }},
		"clocks apart": {hosts: func(o map[string]*HostObservation) {
			o["cp1"].Clock = Offset{-time.Second, -900 * time.Millisecond}
			o["w1"].Clock = Offset{1200 * time.Millisecond, 1500 * time.Millisecond}
		}, want: []string{"error clock "}, says: "the clock of w1 is 2.3 s ahead of that of cp1"},
		"busy hosts, whose clocks may be well": {hosts: func(o map[string]*HostObservation) {
			o["cp1"].Clock = Offset{-100 * time.Millisecond, 12 * time.Second}
			o["w1"].Clock = Offset{-4 * time.Second, 1500 * time.Millisecond}
		}},
		"workstation's clock wrong": {hosts: func(o map[string]*HostObservation) {
			for _, h := range o {
				h.Clock = Offset{time.Hour, time.Hour + time.Second}
			}
		}},
		"everything at once": {hosts: func(o map[string]*HostObservation) {
			o["cp1"].Err = errors.New("gone")
			o["cp2"].Facts.SwapBytes, o["cp2"].Facts.Systemd = 1, ""
			o["w1"].Facts.Interface = ""
		}, want: []string{"error connection cp1", "error systemd cp2", "error swap cp2", "error address w1"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := testCluster(t, x.cluster)
			o, in := bareHosts(c), testInputs()
			if x.complete {
				o = completeHosts(c)
			}
			if x.in != nil {
				x.in(&in)
			}
			pointers := map[string]*HostObservation{}
			for name, seen := range o {
				pointers[name] = &seen
			}
			if x.hosts != nil {
				x.hosts(pointers)
			}
			for name, seen := range pointers {
				o[name] = *seen
			}
			var got []string
			found := Preflight(c, o, in)
			for _, f := range found {
				got = append(got, string(f.Severity)+" "+f.Check+" "+f.Node)
				if f.Hint == "" && f.Check != "bundle" && f.Check != "connection" {
					t.Errorf("%s does not say what to do", f)
				}
			}
			if !slices.Equal(got, x.want) {
				t.Errorf("got %q, want %q", got, x.want)
			}
			if !strings.Contains(strings.Join(lines(found), "\n"), x.says) {
				t.Errorf("%q lacks %q", lines(found), x.says)
			}
		})
	}
}

func TestErrorsOf(t *testing.T) {
	w, e := report.Finding{Check: "a", Severity: report.SeverityWarning}, report.Finding{Node: "h", Check: "b", Severity: report.SeverityError, Message: "m", Hint: "do this"}
	if err := errorsOf([]report.Finding{w}); err != nil {
		t.Errorf("a warning stands in the way: %v", err)
	}
	err := errorsOf([]report.Finding{w, e})
	var p *PreflightError
	if !errors.As(err, &p) || len(p.Findings) != 1 || !strings.Contains(err.Error(), "error: h: m (b)\n    do this") {
		t.Errorf("got %v", err)
	}
}

func TestClock(t *testing.T) {
	asked := time.Now()
	// The host is 5 s ahead. It takes 400 ms to answer, and says the time on the way.
	k := newClock(asked)
	if k.offset() != (Offset{}) {
		t.Error("an offset without a time told")
	}
	k.saw(time.Time{}, asked.Add(time.Millisecond))
	k.saw(asked.Add(5*time.Second+10*time.Millisecond), asked.Add(20*time.Millisecond))
	k.saw(asked.Add(5*time.Second+400*time.Millisecond), asked.Add(405*time.Millisecond))
	got := k.offset()
	if got.Least != 5*time.Second-5*time.Millisecond || got.Most != 5*time.Second+10*time.Millisecond {
		t.Errorf("got %+v", got)
	}
}

// A port without which a cluster comes up is no reason not to begin.
func TestUnreachedImages(t *testing.T) {
	c := testCluster(t, nil)
	pair := [2]string{"cp1", "w1"}
	got := unreached(map[[2]string][]int32{pair: {v1alpha1.DefaultPeerPort, kubeletPort}}, c, map[[2]string]string{pair: "refused"})
	if len(got) != 2 || got[0].Severity != report.SeverityWarning || !strings.Contains(got[0].Message, "TCP 10271: refused") ||
		got[1].Severity != report.SeverityError || !strings.Contains(got[1].Message, "TCP 10250: refused") {
		t.Errorf("got %+v", got)
	}
	if got := unreached(map[[2]string][]int32{pair: {v1alpha1.DefaultPeerPort}}, c, nil); len(got) != 1 || got[0].Severity != report.SeverityWarning {
		t.Errorf("got %+v", got)
	}
}

func TestProbes(t *testing.T) {
	c := testCluster(t, nil)
	o := bareHosts(c)
	got := map[string]int{}
	for _, p := range probes(c, o) {
		for _, f := range p.from {
			got[f.Name+">"+p.to.Name]++
		}
	}
	// cp to cp: 2379 2380 10250 6443; w1 to cp: 6443; cp to w1: 10250; all to the first: the bundle;
	// all to all: images.
	for pair, n := range map[string]int{"cp1>cp2": 5, "cp3>cp1": 6, "w1>cp1": 3, "cp2>w1": 2} {
		if got[pair] != n {
			t.Errorf("%s: %d ports, want %d", pair, got[pair], n)
		}
	}
	if len(got) != 12 {
		t.Errorf("pairs %v", got)
	}
	if n := len(probes(c, completeHosts(c))); n != 0 {
		t.Errorf("%d probes of services that run", n)
	}
	seen := o["cp1"]
	seen.Err = errors.New("gone")
	o["cp1"] = seen
	for _, p := range probes(c, o) {
		if p.to.Name == "cp1" || isIn(p.from, c.First()) {
			t.Errorf("a probe with a host that is not there: %+v", p)
		}
	}
}

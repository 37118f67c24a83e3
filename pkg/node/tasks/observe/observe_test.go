package observe

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const showUnits = "systemctl show --property=Id,LoadState,ActiveState,UnitFileState containerd.service kubelet.service etcd.service " +
	"keepalived.service docker.service crio.service k3s.service firewalld.service ufw.service nginx.service haproxy.service"

// look makes an observer of a host below a temporary directory.
func look(t *testing.T, spec Spec, files map[string]string) (*observer, *hosttest.Commander, *[]string) {
	t.Helper()
	commands := hosttest.NewCommander(t)
	h, err := host.Open(host.Options{Root: t.TempDir(), Commands: commands})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range files {
		hosttest.Write(t, h, path, content, 0o644)
	}
	if spec.DataDir == "" {
		spec.DataDir = defaultDataDir
	}
	var mu sync.Mutex
	var warnings []string
	sink := report.SinkFunc(func(e report.Event) {
		mu.Lock()
		defer mu.Unlock()
		warnings = append(warnings, e.Message)
	})
	return &observer{h: h, spec: spec, sink: sink}, commands, &warnings
}

func TestSystemFacts(t *testing.T) {
	o, _, warnings := look(t, Spec{}, map[string]string{
		"/etc/os-release":                   "# x\nID=ubuntu\nVERSION_ID=\"24.04\"\nPRETTY_NAME='Ubuntu 24.04'\n",
		"/etc/machine-id":                   "abc\n",
		"/proc/sys/kernel/osrelease":        "6.8.0\n",
		"/proc/meminfo":                     "MemTotal:       16000 kB\nHugePages_Total:  0\nSwapTotal:  8 kB\n",
		"/sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n",
		"/proc/filesystems":                 "nodev\toverlay\n",
		"/lib/modules/6.8.0/modules.dep":    "kernel/net/bridge/br_netfilter.ko.zst: kernel/net/bridge/bridge.ko.zst\n",
		"/usr/local/bin/kubelet":            "binary",
		"/opt/cni/bin/bridge":               "binary",
	})
	o.identity()
	o.system()
	o.cgroups()
	o.modules()
	o.binaries(context.Background())
	f := o.facts
	if f.OS != (OS{ID: "ubuntu", VersionID: "24.04", PrettyName: "Ubuntu 24.04", Kernel: "6.8.0"}) || f.MachineID != "abc" {
		t.Errorf("%+v %s", f.OS, f.MachineID)
	}
	if f.MemoryBytes != 16000<<10 || f.SwapBytes != 8<<10 || f.CgroupVersion != 2 || !slices.Equal(f.Controllers, []string{"cpu", "memory", "pids"}) {
		t.Errorf("%+v", f)
	}
	if want := map[string]bool{"overlay": true, "br_netfilter": true, "vxlan": false}; !reflect.DeepEqual(f.Modules, want) {
		t.Errorf("modules %v", f.Modules)
	}
	// printf binary | sha256sum
	const sum = "9a3a45d01531a20e89ac6ae10b0b0beb0492acd7216a368aa062d1a5fecaf9cd"
	if want := map[string]string{"/usr/local/bin/kubelet": sum, "/opt/cni/bin/bridge": sum}; !reflect.DeepEqual(f.Binaries, want) {
		t.Errorf("binaries %v", f.Binaries)
	}
	if len(*warnings) > 0 {
		t.Errorf("warnings %q", *warnings)
	}
}

func TestCgroupVersion1(t *testing.T) {
	o, _, _ := look(t, Spec{}, map[string]string{"/proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t1\t1\nmemory\t0\t1\t0\n"})
	o.cgroups()
	if o.facts.CgroupVersion != 1 || !slices.Equal(o.facts.Controllers, []string{"cpu"}) {
		t.Errorf("%d %v", o.facts.CgroupVersion, o.facts.Controllers)
	}
}

func TestNetworkFacts(t *testing.T) {
	cidr := func(s string) net.IPNet {
		ip, n, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		return net.IPNet{IP: ip, Mask: n.Mask}
	}
	o, _, _ := look(t, Spec{Address: "10.0.0.5", VirtualIP: "10.0.0.100"}, map[string]string{
		"/proc/net/route": "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\neth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\n"})
	o.network([]iface{
		{name: "lo", loopback: true, addrs: []net.IPNet{cidr("127.0.0.1/8")}},
		{name: "eth0", mac: "m1", addrs: []net.IPNet{cidr("10.0.0.5/24"), cidr("10.0.0.100/32")}},
		{name: "eno1", mac: "m2", hasDev: true},
		{name: "docker0", mac: "m3", addrs: []net.IPNet{cidr("172.17.0.1/16")}},
	})
	f := o.facts
	if f.Interface != "eth0" || f.PrefixLength != 24 || !f.VirtualIPHere || !f.DefaultRoute || f.DefaultInterface != "eth0" ||
		!reflect.DeepEqual(f.MACs, map[string]string{"eth0": "m1", "eno1": "m2"}) {
		t.Errorf("%+v", f)
	}
}

func TestListening(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:0CEA 01 00000000:00000000 00:00000000 00000000  1000        0 7 1 0 100 0 0 10 0
   2: broken
`
	if got := listening(table); !reflect.DeepEqual(got, map[string]int32{"4242": 3306}) {
		t.Errorf("%v", got)
	}
	o, _, _ := look(t, Spec{Ports: []int32{3306, 22}}, map[string]string{"/proc/net/tcp": table, "/proc/77/comm": "mysqld\n", "/proc/self": ""})
	if err := os.MkdirAll(o.h.Path("/proc/77/fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[4242]", o.h.Path("/proc/77/fd/3")); err != nil {
		t.Fatal(err)
	}
	o.listeners(t.Context())
	if !reflect.DeepEqual(o.facts.Listeners, map[int32]string{3306: "mysqld (pid 77)"}) {
		t.Errorf("%v", o.facts.Listeners)
	}
}

// TestListenerThatEnds: a process that ends has let go of its files before its socket is gone. Of that
// nobody is told; of a socket that stays without a process somebody is.
func TestListenerThatEnds(t *testing.T) {
	const table = "0: 00000000:280A 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1 0 100 0 0 10 0\n"
	for name, tc := range map[string]struct {
		ends bool
		want map[int32]string
	}{
		"it ends":  {true, nil},
		"it stays": {false, map[int32]string{10250: unknownProcess}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, _, _ := look(t, Spec{Ports: []int32{10250}}, map[string]string{"/proc/net/tcp": table})
				if o.lookAtListeners()[10250] != unknownProcess {
					t.Fatal("the socket has a process")
				}
				if tc.ends {
					timer := time.AfterFunc(ownerKnown/4, func() {
						if err := os.WriteFile(o.h.Path("/proc/net/tcp"), nil, 0o600); err != nil {
							t.Error(err)
						}
					})
					defer timer.Stop()
				}
				o.listeners(t.Context())
				if !reflect.DeepEqual(o.facts.Listeners, tc.want) {
					t.Errorf("%v", o.facts.Listeners)
				}
			})
		})
	}
}

func TestARP(t *testing.T) {
	self, other := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	vip := net.IPv4(10, 0, 0, 100).To4()
	request := arpFrame(self, vip)
	if len(request) != arpLength || !bytes.Equal(request[:6], bytes.Repeat([]byte{0xff}, 6)) || !net.IP(request[38:42]).Equal(vip) {
		t.Errorf("% x", request)
	}
	reply := func(sender net.HardwareAddr, ip net.IP) []byte {
		f := bytes.Clone(request)
		f[21] = 2
		copy(f[22:], sender)
		copy(f[28:], ip.To4())
		return f
	}
	wrongType := reply(other, vip)
	wrongType[12] = 0x86
	for name, c := range map[string]struct {
		frame []byte
		want  net.HardwareAddr
	}{
		"its holder":     {reply(other, vip), other},
		"ourselves":      {reply(self, vip), nil},
		"another one":    {reply(other, net.IPv4(10, 0, 0, 1)), nil},
		"our own probe":  {request, nil},
		"cut off":        {reply(other, vip)[:30], nil},
		"something else": {wrongType, nil},
	} {
		if got := arpAnswer(c.frame, vip, self); !bytes.Equal(got, c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestParseVRRP(t *testing.T) {
	for _, c := range []struct {
		packet []byte
		router int
		ok     bool
	}{
		{[]byte{0x31, 51, 100, 1, 0, 20, 0, 0}, 51, true},
		{[]byte{0x21, 7, 100, 1, 0, 1, 0, 0}, 7, true},
		{[]byte{0x32, 7, 100, 1, 0, 1, 0, 0}, 0, false},
		{[]byte{0x41, 7, 100, 1, 0, 1, 0, 0}, 0, false},
		{[]byte{0x31, 0, 100, 1, 0, 1, 0, 0}, 0, false},
		{[]byte{0x31, 51}, 0, false},
		{nil, 0, false},
	} {
		if router, ok := parseVRRP(c.packet); ok != c.ok || ok && router != c.router {
			t.Errorf("% x: %d %v", c.packet, router, ok)
		}
	}
}

func TestUnits(t *testing.T) {
	o, commands, _ := look(t, Spec{}, map[string]string{keepalivedConf: "vrrp_instance x {}"})
	commands.On(showUnits, "Id=etcd.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n"+
		"Id=docker.service\nLoadState=not-found\nActiveState=inactive\n\n"+
		"Id=keepalived.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=enabled\n").
		On("systemctl --version", "systemd 255 (255.4-1ubuntu8)\n+PAM\n")
	o.units(context.Background())
	o.ownership(context.Background())
	want := map[string]string{"etcd.service": "active", "keepalived.service": "inactive"}
	if !reflect.DeepEqual(o.facts.Units, want) || !o.facts.State.EtcdActive || o.facts.State.KubeletActive || o.facts.Systemd != "255" {
		t.Errorf("%+v", o.facts)
	}
	if !o.facts.ForeignKeepalived {
		t.Error("a keepalived that is not ours was not seen")
	}
}

func TestLeftovers(t *testing.T) {
	files := map[string]string{
		"/etc/kubernetes/manifests/kube-apiserver.yaml": "x", "/etc/kubernetes/admin.conf": "x", "/etc/kubernetes/readme.txt": "x",
		"/var/lib/kubelet/config.yaml": "x", "/var/lib/etcd/member/wal": "x", "/var/lib/etcd/lost+found/x": "x",
	}
	all := []string{"/etc/kubernetes/manifests/kube-apiserver.yaml", "/etc/kubernetes/admin.conf", "/var/lib/kubelet/config.yaml", "/var/lib/etcd/member"}
	for name, c := range map[string]struct {
		ours func(t *testing.T, h *host.Host) error
		want []string
	}{
		"of somebody else": {nil, all},
		"kubeadm was run by us": {func(_ *testing.T, h *host.Host) error {
			_, err := h.Run(context.Background(), "", host.Command{Argv: []string{"/usr/local/bin/kubeadm", "init", "--config", "x"}})
			return err
		}, []string{"/var/lib/etcd/member"}},
		"etcd is ours": {func(_ *testing.T, h *host.Host) error {
			return h.Record(context.Background(), host.KindDirectory, "/var/lib/etcd", "")
		}, all[:3]},
		"kubeadm was only asked for its version": {func(_ *testing.T, h *host.Host) error {
			_, err := h.Run(context.Background(), "", host.Command{Argv: []string{"kubeadm", "version"}})
			return err
		}, all},
	} {
		t.Run(name, func(t *testing.T) {
			o, commands, _ := look(t, Spec{}, files)
			commands.On("/usr/local/bin/kubeadm init --config x", "").On("kubeadm version", "")
			if c.ours != nil {
				if err := c.ours(t, hosttest.Open(t, o.h.Path("/"), commands)); err != nil {
					t.Fatal(err)
				}
			}
			o.state()
			o.ownership(context.Background())
			if !slices.Equal(o.facts.Leftovers, c.want) {
				t.Errorf("leftovers %q, want %q", o.facts.Leftovers, c.want)
			}
			if s := o.facts.State; !s.ControlPlane || !s.EtcdData || s.Joined {
				t.Errorf("%+v", s)
			}
			if ours := o.facts.Ours; (ours != nil) != (c.ours != nil) || ours != nil && ours.Cluster != "test" {
				t.Errorf("ours: %+v", ours)
			}
		})
	}
}

// TestRunOnThisMachine: the whole task works without any right, and says
// what it could not see.
func TestRunOnThisMachine(t *testing.T) {
	o, commands, warnings := look(t, Spec{}, nil)
	commands.Fail(showUnits, 1, "no bus")
	data, err := Run(context.Background(), node.Env{Host: o.h, Sink: o.sink}, Spec{Address: "192.0.2.1", VirtualIP: "192.0.2.2"})
	if err != nil {
		t.Fatal(err)
	}
	f := data.(Facts)
	if f.Hostname == "" || f.CPUs == 0 || f.Time.IsZero() || f.Interface != "" || f.VirtualIPAnswers != "" {
		t.Errorf("%+v", f)
	}
	if !strings.Contains(fmt.Sprint(*warnings), "systemd") {
		t.Errorf("warnings %q", *warnings)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(cancelled, node.Env{Host: o.h, Sink: o.sink}, Spec{}); err == nil {
		t.Error("a cancelled look has facts")
	}
}

func TestPrograms(t *testing.T) {
	o, commands, warnings := look(t, Spec{Programs: []string{"/usr/local/bin", "/opt/cni/bin"}}, map[string]string{host.AgentPath: "another agent"})
	try := func(dir string) string { return fmt.Sprintf("%s/.kubectl-ha-try-%d", dir, os.Getpid()) }
	commands.On(try("/usr/local/bin"), "").Fail(try("/opt/cni/bin"), 126, "Permission denied")
	o.programs(t.Context())
	if len(o.facts.NoPrograms) != 1 || !strings.Contains(o.facts.NoPrograms["/opt/cni/bin"], "can't be started") {
		t.Errorf("%v", o.facts.NoPrograms)
	}
	if o.facts.AgentInstalled || len(*warnings) > 0 {
		t.Errorf("another agent is taken for this one, or warnings: %q", *warnings)
	}
	for _, dir := range []string{"/opt", "/usr/local/bin"} {
		if there, err := o.h.Exists(dir); there || err != nil {
			t.Errorf("%s stays: %v", dir, err)
		}
	}
}

//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/lab/build"
)

const (
	// foreignToken and foreignKey are for a lab that is gone in half an hour.
	foreignToken = "abcdef.0123456789abcdef"
	foreignKey   = "0123456789012345678901234567890101234567890123456789012345678901"
	// foreignRouter is the VRRP router id of the keepalived that was set up by hand.
	foreignRouter = 77
	criSocket     = "unix:///run/containerd/containerd.sock"
)

// foreignConfig is what foreignKubeadm says of all clusters: that hosts are containers.
const foreignConfig = `---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
failCgroupV1: false
failSwapOn: false
resolvConf: /etc/resolv.lab
evictionHard: {nodefs.available: 0%, imagefs.available: 0%}
imageGCHighThresholdPercent: 100
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
conntrack: {maxPerCore: 0}
`

// foreignContainerd is by hand, as the lab's hosts need it.
const foreignContainerd = `version = 3
[plugins.'io.containerd.cri.v1.images']
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '%s'
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '/etc/containerd/certs.d'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = 'runc'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        SystemdCgroup = true
`

const foreignContainerdUnit = `[Unit]
After=network.target dbus.service
[Service]
Type=notify
ExecStart=/usr/local/bin/containerd
Delegate=yes
KillMode=process
Restart=always
TasksMax=infinity
[Install]
WantedBy=multi-user.target
`

// foreignKubeletUnit is kubeadm's guide's.
// https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/kubelet-integration/
const foreignKubeletUnit = `[Unit]
Wants=network-online.target
After=network-online.target
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=2
StartLimitInterval=0
[Install]
WantedBy=multi-user.target
`

// foreign is a cluster that kubeadm alone made, on a lab of its own.
type foreign struct {
	*cluster
	// endpoint is kubeadm's controlPlaneEndpoint.
	endpoint string
	// bare are hosts that are no part of the cluster, as they came.
	bare []string
}

// members are the hosts of the cluster, the control planes first.
func (f *foreign) members(roles ...string) []string {
	return slices.DeleteFunc(f.names(roles...), func(h string) bool { return slices.Contains(f.bare, h) })
}

// newForeign makes a cluster of the older version by kubeadm's commands and what its guide has
// one do by hand; before is called for each host before kubeadm is, in order. In endpoint VIP is the
// lab's virtual IP, and CP1 the first control plane's address. Nothing of kubectl-ha has part in it.
// The hosts in bare are left as they are, but for the pod network, which its owners lay everywhere.
func newForeign(t *testing.T, name, endpoint string, size labSize, before func(f *foreign, host string), bare ...string) *foreign {
	t.Helper()
	l := ownLab(t, name, suite.other, size)
	f := &foreign{cluster: l.cluster(t, name, ""), endpoint: strings.NewReplacer("VIP", l.cached.VirtualIP, "CP1", hostAddress(l, "cp1")).Replace(endpoint), bare: bare}
	for _, h := range bare {
		f.pods(t, h)
	}
	all := f.members("control-plane", "worker")
	for _, h := range all {
		f.install(t, h)
	}
	first := all[0]
	start := time.Now()
	for _, h := range all {
		before(f, h)
		config := f.joinConfig(h)
		argv := []string{"kubeadm", "join", "--config", "/root/kubeadm.yaml"}
		if h == first {
			config, argv = f.initConfig(h), []string{"kubeadm", "init", "--upload-certs", "--config", "/root/kubeadm.yaml"}
		}
		f.write(t, h, "/root/kubeadm.yaml", config)
		if r := f.tryFor(t, h, 5*time.Minute, nil, argv...); r.code != 0 {
			t.Fatalf("%s on %s: %s", strings.Join(argv[:2], " "), h, r)
		}
	}
	access := f.exec(t, first, "cat", "/etc/kubernetes/admin.conf")
	if f.dnsName() != "" {
		// This machine does not know the name.
		access = strings.Replace(access, "server: https://"+f.endpoint, "server: https://"+f.vip+":6443\n    tls-server-name: "+f.dnsName(), 1)
	}
	if err := os.WriteFile(f.kubeconfig, []byte(access), 0o600); err != nil {
		t.Fatal(err)
	}
	f.connect(t)
	f.well(t)
	t.Logf("kubeadm alone made a cluster of %d nodes in %s", len(all), time.Since(start).Round(time.Second))
	return f
}

// dnsName is the endpoint's name; empty when it is an address.
func (f *foreign) dnsName() string {
	host, _, err := net.SplitHostPort(f.endpoint)
	if err != nil || net.ParseIP(host) != nil {
		return ""
	}
	return host
}

// asked is a prober of the address that this machine knows for the endpoint.
func (f *foreign) asked(t *testing.T) *prober {
	t.Helper()
	host, _, err := net.SplitHostPort(f.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	if f.dnsName() != "" {
		host = f.vip
	}
	p := f.prober(t, host)
	if transport, ok := p.client.Transport.(*http.Transport); ok {
		transport.TLSClientConfig.ServerName = f.dnsName()
	}
	p.every = 50 * time.Millisecond
	return p
}

// write puts a file on a host.
func (f *foreign) write(t *testing.T, host, path, content string) {
	t.Helper()
	f.exec(t, host, "mkdir", "-p", filepath.Dir(path))
	encoded := base64.StdEncoding.EncodeToString([]byte(content))
	f.exec(t, host, "sh", "-c", "echo "+encoded+" | base64 -d > "+path)
}

// install puts on a host what kubeadm's guide wants there: the runtime, the CNI plugins, and
// Kubernetes' programs, from the lab's mirror.
func (f *foreign) install(t *testing.T, host string) {
	t.Helper()
	github, arch := f.cached.Mirror+"/github.com/", runtime.GOARCH
	fetch := func(url, to string) { t.Helper(); f.exec(t, host, "curl", "-fsS", "-o", to, url) }
	fetch(fmt.Sprintf("%scontainerd/containerd/releases/download/%s/containerd-%s-linux-%s.tar.gz", github, build.ContainerdVersion, strings.TrimPrefix(build.ContainerdVersion, "v"), arch), "/root/containerd.tgz")
	fetch(fmt.Sprintf("%scontainernetworking/plugins/releases/download/%s/cni-plugins-linux-%s-%s.tgz", github, build.CNIPluginsVersion, arch, build.CNIPluginsVersion), "/root/cni.tgz")
	fetch(fmt.Sprintf("%sopencontainers/runc/releases/download/%s/runc.%s", github, build.RuncVersion, arch), "/usr/local/sbin/runc")
	for _, program := range []string{"kubeadm", "kubelet", "kubectl"} {
		fetch(fmt.Sprintf("%s/dl.k8s.io/%s/bin/linux/%s/%s", f.cached.Mirror, f.version, arch, program), "/usr/local/bin/"+program)
	}
	f.exec(t, host, "mkdir", "-p", "/opt/cni/bin")
	f.exec(t, host, "tar", "-C", "/usr/local", "-xzf", "/root/containerd.tgz")
	f.exec(t, host, "tar", "-C", "/opt/cni/bin", "-xzf", "/root/cni.tgz")
	f.exec(t, host, "chmod", "755", "/usr/local/sbin/runc", "/usr/local/bin/kubeadm", "/usr/local/bin/kubelet", "/usr/local/bin/kubectl")
	pause := ""
	for _, ref := range strings.Fields(f.exec(t, host, "kubeadm", "config", "images", "list", "--kubernetes-version", f.version)) {
		if strings.Contains(ref, "/pause:") {
			pause = ref
		}
	}
	f.write(t, host, "/etc/containerd/config.toml", fmt.Sprintf(foreignContainerd, pause))
	f.write(t, host, "/etc/containerd/certs.d/registry.k8s.io/hosts.toml",
		fmt.Sprintf("server = \"https://registry.k8s.io\"\n[host.\"%s/v2/registry.k8s.io\"]\n  capabilities = [\"pull\", \"resolve\"]\n  override_path = true\n", f.cached.Mirror))
	f.write(t, host, "/etc/systemd/system/containerd.service", foreignContainerdUnit)
	f.write(t, host, "/etc/systemd/system/kubelet.service", foreignKubeletUnit)
	f.pods(t, host)
	f.exec(t, host, "sysctl", "-w", "net.ipv4.ip_forward=1")
	f.exec(t, host, "systemctl", "daemon-reload")
	f.exec(t, host, "systemctl", "enable", "--now", "containerd.service")
	f.exec(t, host, "systemctl", "enable", "kubelet.service")
}

// subnet is a host's pods'.
func (f *foreign) subnet(host string) string {
	address := hostAddress(f.lab, host)
	return "10.244." + address[strings.LastIndexByte(address, '.')+1:] + ".0/24"
}

// pods sets up the pod network: a bridge on each host, and routes between them.
func (f *foreign) pods(t *testing.T, host string) {
	t.Helper()
	f.write(t, host, "/etc/cni/net.d/10-bridge.conflist", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"hairpinMode":true,`+
		`"ipam":{"type":"host-local","ranges":[[{"subnet":"`+f.subnet(host)+`"}]],"routes":[{"dst":"0.0.0.0/0"}]}},{"type":"portmap","capabilities":{"portMappings":true}}]}`)
	for _, other := range f.names("control-plane", "worker") {
		if other != host {
			f.exec(t, host, "ip", "route", "replace", f.subnet(other), "via", hostAddress(f.lab, other))
		}
	}
}

func (f *foreign) registration(host string) string {
	return `nodeRegistration:
  name: ` + host + `
  criSocket: ` + criSocket + `
  ignorePreflightErrors: [SystemVerification, Swap]
  kubeletExtraArgs: [{name: node-ip, value: ` + hostAddress(f.lab, host) + `}]
`
}

func (f *foreign) initConfig(host string) string {
	return `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: ` + hostAddress(f.lab, host) + `}
bootstrapTokens: [{token: ` + foreignToken + `}]
certificateKey: "` + foreignKey + `"
` + f.registration(host) + `---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
clusterName: foreign
kubernetesVersion: ` + f.version + `
controlPlaneEndpoint: "` + f.endpoint + `"
networking: {podSubnet: 10.244.0.0/16}
` + foreignConfig
}

func (f *foreign) joinConfig(host string) string {
	config := `apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery: {bootstrapToken: {token: ` + foreignToken + `, apiServerEndpoint: "` + f.endpoint + `", unsafeSkipCAVerification: true}}
` + f.registration(host)
	for _, cp := range f.members("control-plane") {
		if cp == host {
			config += `controlPlane: {localAPIEndpoint: {advertiseAddress: ` + hostAddress(f.lab, host) + `}, certificateKey: "` + foreignKey + `"}
`
		}
	}
	return config
}

// keepalived sets it up on a control plane, as kubeadm's guide has it: it checks the apiserver
// every 3 seconds, and gives the address up after 10 failures. Its peers are told by hand, since
// not every network has multicast.
// https://github.com/kubernetes/kubeadm/blob/main/docs/ha-considerations.md#keepalived-configuration
func keepalived(t *testing.T) func(f *foreign, host string) {
	return func(f *foreign, host string) {
		t.Helper()
		all := f.names("control-plane")
		var peers []string
		own := -1
		for i, h := range all {
			if h == host {
				own = i
				continue
			}
			peers = append(peers, "    "+hostAddress(f.lab, h))
		}
		if own < 0 {
			return // It is a worker.
		}
		state := "BACKUP"
		if own == 0 {
			state = "MASTER"
		}
		f.write(t, host, "/etc/keepalived/check_apiserver.sh", "#!/bin/sh\nexec curl -sfk --max-time 2 -o /dev/null https://localhost:6443/healthz\n")
		f.exec(t, host, "chmod", "755", "/etc/keepalived/check_apiserver.sh")
		f.write(t, host, "/etc/keepalived/keepalived.conf", fmt.Sprintf(`global_defs {
    router_id LVS_DEVEL
    script_user root
    enable_script_security
}
vrrp_script check_apiserver {
  script "/etc/keepalived/check_apiserver.sh"
  interval 3
  weight -2
  fall 10
  rise 2
}
vrrp_instance VI_1 {
    state %s
    interface eth0
    virtual_router_id %d
    priority %d
    unicast_src_ip %s
    unicast_peer {
%s
    }
    virtual_ipaddress {
        %s/24
    }
    track_script {
        check_apiserver
    }
}
`, state, foreignRouter, 101-own, hostAddress(f.lab, host), strings.Join(peers, "\n"), f.vip))
		f.exec(t, host, "systemctl", "enable", "keepalived.service")
		f.exec(t, host, "systemctl", "restart", "keepalived.service")
		if own == 0 {
			eventually(t, time.Minute, "the first control plane has the virtual IP", func() (bool, string) {
				r := f.try(t, host, nil, "ip", "-o", "addr", "show", "to", f.vip)
				return strings.TrimSpace(r.stdout) != "", r.String()
			})
		}
	}
}

// named has hosts know the endpoint's name for the virtual IP, which keepalived keeps.
func named(t *testing.T) func(f *foreign, host string) {
	keep := keepalived(t)
	return func(f *foreign, host string) {
		t.Helper()
		f.exec(t, host, "sh", "-c", "echo "+f.vip+" "+f.dnsName()+" >> /etc/hosts")
		keep(f, host)
	}
}

// nothing is done by hand.
func nothing(*foreign, string) {}

//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// badInput is something wrong with the file, the workstation or a host.
type badInput struct {
	name string
	// edit changes the Cluster file.
	edit func(l *lab, text string) string
	// spoil changes a host; mend takes it back.
	spoil, mend func(t *testing.T, l *lab)
	// args replace those of `preflight -f FILE`.
	args func(l *lab, t *testing.T, file string) []string
	// code is the exit code; says are parts of what a person must be told:
	// the host or field, and what is wrong.
	code int
	says []string
}

func replace(old, new string) func(*lab, string) string {
	return func(_ *lab, text string) string { return strings.Replace(text, old, new, 1) }
}

func sh(host string, argv ...string) func(*testing.T, *lab) {
	return func(t *testing.T, l *lab) { l.exec(t, host, argv...) }
}

// TestBadInput: each mistake is a clear error that names the host or the
// field, and changes nothing on any host.
func TestBadInput(t *testing.T) {
	l := upLab(t, "e2e-bare", 3, 1)
	t.Cleanup(func() { l.drop(t) })
	bundle := l.bundle(t)
	before := map[string]string{}
	for _, h := range l.names() {
		before[h] = l.run(t, "diff", h)
	}
	for _, b := range badInputs(bundle) {
		t.Run(b.name, func(t *testing.T) {
			if b.spoil != nil {
				b.spoil(t, l)
			}
			if b.mend != nil {
				defer b.mend(t, l)
			}
			var edit func(string) string
			if b.edit != nil {
				edit = func(text string) string { return b.edit(l, text) }
			}
			file := l.file(t, edit)
			args := []string{"preflight", "-f", file}
			if b.args != nil {
				args = b.args(l, t, file)
			}
			r := l.ha(t, 2*time.Minute, args...)
			if r.code != b.code {
				t.Errorf("exit code %d, want %d: %s", r.code, b.code, r)
			}
			for _, s := range b.says {
				if !strings.Contains(r.stdout+r.stderr, s) {
					t.Errorf("does not say %q: %s", s, r)
				}
			}
		})
	}
	for _, h := range l.names() {
		if after := l.run(t, "diff", h); after != before[h] {
			t.Errorf("%s was changed:\nbefore:\n%s\nafter:\n%s", h, before[h], after)
		}
	}
}

// Exit codes, as docs/scripting.md lists them.
const (
	exitUsage       = 2
	exitFindings    = 3
	exitUnreachable = 5
)

func badInputs(bundle string) []badInput {
	bootstrapWith := func(path string) func(*lab, *testing.T, string) []string {
		return func(_ *lab, _ *testing.T, file string) []string {
			return []string{"bootstrap", "-f", file, "--bundle", path, "--yes"}
		}
	}
	return append(fileMistakes(), append(hostMistakes(), []badInput{
		{name: "corrupt bundle", code: exitUsage, says: []string{"bundle"}, args: func(l *lab, t *testing.T, file string) []string {
			return bootstrapWith(corrupted(t, l, bundle))(l, t, file)
		}},
		{name: "truncated bundle", code: exitUsage, says: []string{"bundle"}, args: func(l *lab, t *testing.T, file string) []string {
			return bootstrapWith(truncated(t, l, bundle))(l, t, file)
		}},
		{name: "version that the bundle lacks", code: exitUsage, says: []string{suite.version, "v1.35.9"},
			edit: replace(suite.version, "v1.35.9"), args: bootstrapWith(bundle)},
		{name: "no such bundle", code: exitUsage, says: []string{"nowhere.tar"}, args: bootstrapWith("nowhere.tar")},
		{name: "no confirmation without a terminal", code: exitUsage, says: []string{"--yes"},
			args: func(_ *lab, _ *testing.T, file string) []string {
				return []string{"bootstrap", "-f", file, "--bundle", bundle}
			}},
	}...)...)
}

func fileMistakes() []badInput {
	return []badInput{
		{name: "malformed YAML", code: exitUsage, says: []string{"cluster-", ".yaml:", "malformed"}, edit: func(_ *lab, s string) string { return s + "\n  - ]" }},
		{name: "misspelt field", code: exitUsage, says: []string{"kubernetesVersoin", "kubernetesVersion"}, edit: replace("kubernetesVersion:", "kubernetesVersoin:")},
		{name: "version too old", code: exitUsage, says: []string{"v1.33.0", "1.34"}, edit: func(_ *lab, s string) string { return strings.Replace(s, suite.version, "v1.33.0", 1) }},
		{name: "version too new", code: exitUsage, says: []string{"v1.38.0", "1.37"}, edit: func(_ *lab, s string) string { return strings.Replace(s, suite.version, "v1.38.0", 1) }},
		{name: "stacked etcd with an etcd host", code: exitUsage, says: []string{"stacked", "external"}, edit: func(_ *lab, s string) string {
			return strings.Replace(strings.Replace(s, "\nspec:\n", "\nspec:\n  etcd:\n    topology: stacked\n", 1), "- worker\n", "- worker\n    - etcd\n", 1)
		}},
		{name: "duplicate address", code: exitUsage, says: []string{"address"}, edit: func(l *lab, s string) string {
			return strings.ReplaceAll(s, hostAddress(l, "cp2"), hostAddress(l, "cp1"))
		}},
		{name: "virtual IP outside the subnet", code: exitFindings, says: []string{"203.0.113.5", "subnet"}, edit: func(l *lab, s string) string {
			return strings.Replace(s, labVIP(l), "203.0.113.5", 1)
		}},
		{name: "virtual IP of a host", code: exitUsage, says: []string{"virtualIP"}, edit: func(l *lab, s string) string {
			return strings.Replace(s, labVIP(l), hostAddress(l, "cp1"), 1)
		}},
		{name: "even number of members", code: 0, says: []string{"2 etcd members, an even number", "the loss of 0", "use 1 or 3"}, edit: func(l *lab, s string) string {
			return withoutHost(s, "cp3")
		}},
		{name: "unreachable host", code: exitUnreachable, says: []string{"w1", "203.0.113.77"}, edit: func(l *lab, s string) string {
			return strings.Replace(s, hostAddress(l, "w1"), "203.0.113.77", 1)
		}},
		{name: "refused login", code: exitUnreachable, says: []string{"nobody-here", "log"}, edit: func(_ *lab, s string) string {
			return strings.Replace(s, "user: ops", "user: nobody-here", 1)
		}},
		{name: "no sudo", code: exitUnreachable, says: []string{"sudo"}, edit: func(_ *lab, s string) string {
			return strings.Replace(s, "user: ops", "user: nosudo", 1)
		}},
		{name: "unknown host key", code: exitUnreachable, says: []string{"host key", "ssh-keyscan"}, edit: func(l *lab, s string) string {
			empty := filepath.Join(l.dir, "empty_known_hosts")
			if err := os.WriteFile(empty, nil, 0o600); err != nil {
				panic(err)
			}
			return replaceKnownHosts(s, empty)
		}},
		{name: "changed host key", code: exitUnreachable, says: []string{"cp1", "HOST KEY", "CHANGED"}, edit: func(l *lab, s string) string {
			return replaceKnownHosts(s, swappedKnownHosts(l, s))
		}},
	}
}

func hostMistakes() []badInput {
	return []badInput{
		{name: "virtual IP in use", code: exitFindings, says: []string{"virtual IP", "use"},
			spoil: func(t *testing.T, l *lab) { l.exec(t, "w1", "ip", "addr", "add", labVIP(l)+"/24", "dev", "eth0") },
			mend:  func(t *testing.T, l *lab) { l.exec(t, "w1", "ip", "addr", "del", labVIP(l)+"/24", "dev", "eth0") }},
		{name: "port taken", code: exitFindings, says: []string{"cp2", "6443"},
			spoil: sh("cp2", "systemd-run", "--unit=squatter", "socat", "TCP-LISTEN:6443,fork,reuseaddr", "SYSTEM:true"),
			mend:  sh("cp2", "systemctl", "stop", "squatter")},
		{name: "leftovers of another cluster", code: exitFindings, says: []string{"cp3", "/etc/kubernetes"},
			spoil: func(t *testing.T, l *lab) {
				l.exec(t, "cp3", "mkdir", "-p", "/etc/kubernetes/manifests")
				l.exec(t, "cp3", "touch", "/etc/kubernetes/manifests/kube-apiserver.yaml")
			},
			mend: sh("cp3", "rm", "-r", "/etc/kubernetes")},
		{name: "host of another cluster", code: exitFindings, says: []string{"w1", "other-cluster"},
			spoil: func(t *testing.T, l *lab) {
				l.exec(t, "w1", "mkdir", "-p", "/var/lib/kubectl-ha")
				if r := l.try(t, "w1", []byte(`{"format":1,"cluster":"other-cluster"}`+"\n"), "tee", "/var/lib/kubectl-ha/ledger.jsonl"); r.code != 0 {
					t.Fatal(r)
				}
			},
			mend: sh("w1", "rm", "-r", "/var/lib/kubectl-ha")},
		{name: "keepalived of somebody else", code: exitFindings, says: []string{"cp1", "keepalived"},
			spoil: sh("cp1", "cp", "/etc/hostname", "/etc/keepalived/keepalived.conf"),
			mend:  sh("cp1", "rm", "/etc/keepalived/keepalived.conf")},
		{name: "another cluster with the router id", code: exitFindings, says: []string{"router id", "77"},
			edit: func(_ *lab, s string) string {
				return strings.Replace(s, "\nspec:\n", "\nspec:\n  keepalived:\n    routerID: 77\n", 1)
			},
			spoil: func(t *testing.T, l *lab) {
				// Somebody else's keepalived, which speaks to all as it does by default.
				conf := "vrrp_instance other { \n state MASTER\n interface eth0\n virtual_router_id 77\n priority 200\n advert_int 1\n virtual_ipaddress { 192.0.2.9/32 }\n}\n"
				if r := l.try(t, "w1", []byte(conf), "tee", "/run/other-keepalived.conf"); r.code != 0 {
					t.Fatal(r)
				}
				l.exec(t, "w1", "systemd-run", "--unit=other-keepalived", "keepalived", "--dont-fork", "--use-file", "/run/other-keepalived.conf", "--pid", "/run/other-keepalived.pid")
				eventually(t, 20*time.Second, "the other cluster's keepalived has its address", func() (bool, string) {
					r := l.try(t, "w1", nil, "ip", "-o", "addr", "show", "to", "192.0.2.9")
					return r.stdout != "", r.stdout
				})
			},
			mend: func(t *testing.T, l *lab) {
				l.exec(t, "w1", "systemctl", "stop", "other-keepalived")
				l.exec(t, "w1", "rm", "/run/other-keepalived.conf")
			}},
		{name: "etcd data of somebody else", code: exitFindings, says: []string{"cp2", "/var/lib/etcd"},
			spoil: sh("cp2", "mkdir", "-p", "/var/lib/etcd/member/wal"), mend: sh("cp2", "rm", "-r", "/var/lib/etcd")},
		{name: "duplicate machine-id", code: exitFindings, says: []string{"cp1", "cp2", "machine"},
			spoil: func(t *testing.T, l *lab) {
				l.exec(t, "cp2", "cp", "/etc/machine-id", "/root/machine-id")
				if r := l.try(t, "cp2", []byte(l.exec(t, "cp1", "cat", "/etc/machine-id")), "tee", "/etc/machine-id"); r.code != 0 {
					t.Fatal(r)
				}
			},
			mend: func(t *testing.T, l *lab) {
				l.exec(t, "cp2", "cp", "--no-preserve=all", "/root/machine-id", "/etc/machine-id")
				l.exec(t, "cp2", "rm", "/root/machine-id")
			}},
		{name: "full disk", code: exitFindings, says: []string{"w1", "free"},
			spoil: func(t *testing.T, l *lab) {
				l.exec(t, "w1", "mkdir", "-p", "/var/lib/containerd")
				l.exec(t, "w1", "mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", "/var/lib/containerd")
			},
			mend: func(t *testing.T, l *lab) {
				l.exec(t, "w1", "umount", "/var/lib/containerd")
				l.exec(t, "w1", "rmdir", "/var/lib/containerd")
			}},
	}
}

func hostAddress(l *lab, name string) string {
	for _, h := range l.cached.Hosts {
		if h.Name == name {
			return h.Address
		}
	}
	return "no such host " + name
}

func labVIP(l *lab) string { return l.cached.VirtualIP }

// withoutHost drops a host from the Cluster file.
func withoutHost(text, name string) string {
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		panic(err)
	}
	spec := doc["spec"].(map[string]any)
	var kept []any
	for _, h := range spec["hosts"].([]any) {
		if h.(map[string]any)["name"] != name {
			kept = append(kept, h)
		}
	}
	spec["hosts"] = kept
	out, err := yaml.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return string(out)
}

func replaceKnownHosts(text, path string) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		if i := strings.Index(line, "knownHostsFile:"); i >= 0 {
			line = line[:i] + "knownHostsFile: " + path
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// swappedKnownHosts makes a known_hosts file in which cp1 has cp2's key.
func swappedKnownHosts(l *lab, text string) string {
	var real string
	for _, line := range strings.Split(text, "\n") {
		if _, v, ok := strings.Cut(line, "knownHostsFile:"); ok {
			real = strings.TrimSpace(v)
		}
	}
	data, err := os.ReadFile(real)
	if err != nil {
		panic(err)
	}
	a, b := hostAddress(l, "cp1"), hostAddress(l, "cp2")
	swapped := strings.NewReplacer(a, b, b, a).Replace(string(data))
	path := filepath.Join(l.dir, "swapped_known_hosts")
	if err := os.WriteFile(path, []byte(swapped), 0o600); err != nil {
		panic(err)
	}
	return path
}

// corrupted copies the bundle with one byte in its middle changed.
func corrupted(t *testing.T, l *lab, bundle string) string {
	t.Helper()
	path := filepath.Join(l.dir, "corrupt.tar")
	must(t, time.Minute, "cp", bundle, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	return path
}

func truncated(t *testing.T, l *lab, bundle string) string {
	t.Helper()
	path := filepath.Join(l.dir, "truncated.tar")
	must(t, time.Minute, "cp", bundle, path)
	if err := os.Truncate(path, 5<<20); err != nil {
		t.Fatal(err)
	}
	return path
}

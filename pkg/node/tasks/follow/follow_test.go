package follow

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

const manifest = `spec:
  containers:
  - command:
    - kube-apiserver
    - --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt
    - --etcd-servers=https://10.0.0.1:2379,https://10.0.0.2:2379
    - --secure-port=6443
`

func TestWithServers(t *testing.T) {
	for _, tt := range []struct{ name, manifest, want, err string }{
		{"one more", manifest, strings.Replace(manifest, "2:2379", "2:2379,https://10.0.0.3:2379", 1), ""},
		{"no flag", strings.Replace(manifest, "--etcd-servers", "--other", 1), "", "0 times"},
		{"twice", manifest + "    - --etcd-servers=x\n", "", "2 times"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := withServers([]byte(tt.manifest), []string{"https://10.0.0.1:2379", "https://10.0.0.2:2379", "https://10.0.0.3:2379"})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || string(got) != tt.want {
				t.Errorf("%v\n%s", err, got)
			}
		})
	}
}

// process puts an apiserver's command line below /proc.
func process(t *testing.T, root, pid string, args ...string) {
	t.Helper()
	dir := filepath.Join(root, "proc", pid)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cmdline"), []byte(strings.Join(args, "\x00")+"\x00"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEndpoints(t *testing.T) {
	before := []string{"https://10.0.0.1:2379", "https://10.0.0.2:2379"}
	after := append(slices.Clone(before), "https://10.0.0.3:2379")
	root := t.TempDir()
	h := hosttest.Open(t, root, hosttest.NewCommander(t))
	hosttest.Write(t, h, apiserverManifest, manifest, 0o600)
	process(t, root, "7", "kube-apiserver", "--etcd-servers="+strings.Join(before, ","))
	env := node.Env{Host: h, Progress: func(string, ...any) {}}

	var did []string
	d := deps{
		move: func(_ context.Context, _ node.Env, away bool) error {
			if did = append(did, map[bool]string{true: "away", false: "back"}[away]); away {
				if raw, err := h.ReadFile(apiserverManifest); err != nil || string(raw) != manifest {
					t.Errorf("the manifest was changed before the address was away: %v", err)
				}
				// The kubelet's part, which follows the manifest.
				process(t, root, "7", "kube-apiserver", "--etcd-servers="+strings.Join(after, ","))
			}
			return nil
		},
		ready: func(context.Context, node.Env, string) error { did = append(did, "ready"); return nil },
	}
	spec := Spec{EtcdEndpoints: before, Elsewhere: true}
	if data, err := endpoints(t.Context(), env, spec, d); err != nil || data.Restarted || did != nil {
		t.Errorf("the same list: %+v, %v, did %v", data, err, did)
	}
	spec.EtcdEndpoints = after
	if data, err := endpoints(t.Context(), env, spec, d); err != nil || !data.Restarted || strings.Join(did, " ") != "away ready back" {
		t.Errorf("another list: %+v, %v, did %v", data, err, did)
	}
	if raw, err := h.ReadFile(apiserverManifest); err != nil || !strings.Contains(string(raw), "https://10.0.0.3:2379\n") {
		t.Errorf("%v\n%s", err, raw)
	}

	// An address that does not move is a reason to leave the apiserver alone.
	no := errors.New("nobody takes it")
	d.move = func(context.Context, node.Env, bool) error { return no }
	spec.EtcdEndpoints = before
	if data, err := endpoints(t.Context(), env, spec, d); !errors.Is(err, no) || data.Restarted {
		t.Errorf("an address that stays: %+v, %v", data, err)
	}

	// No apiserver: only the member's own file.
	bare := hosttest.New(t, hosttest.NewCommander(t))
	if data, err := endpoints(t.Context(), node.Env{Host: bare, Progress: func(string, ...any) {}}, spec, d); err != nil || data.Restarted {
		t.Errorf("a host without an apiserver: %+v, %v", data, err)
	}
}

// retireLine stops the kubelet, and removes its login then.
const retireLine = "systemd-run --collect --unit=kubectl-ha-retire --on-active=45 --property=Type=oneshot " +
	"--property=ExecStartPost=/bin/rm -rf --one-file-system /etc/kubernetes/kubelet.conf /etc/kubernetes/bootstrap-kubelet.conf /var/lib/kubelet/pki systemctl stop kubelet.service"

func TestRetire(t *testing.T) {
	m := hosttest.NewCommander(t)
	h := hosttest.New(t, m)
	// What lies in a directory that was there before.
	hosttest.Write(t, h, pkiDir+"/sa.key", "somebody else's", 0o600)
	own := func(path string) {
		t.Helper()
		if _, err := h.WriteFile(t.Context(), host.File{Path: path, Mode: 0o600, Content: []byte("x"), Note: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{vip.ConfigPath, vip.WatchConfigPath, etcdmember.UnitPath, apiserverManifest, pkiDir + "/ca.key", kubernetesDir + "/admin.conf"} {
		own(path)
	}
	// What upgrades, backups and renewals have copied.
	copies := []string{upgrade.KeptDir + "/v1.36.3/control-plane/etc/kubernetes/pki/ca.key", upgrade.ReleasesDir + "/v1.36.3/kubeadm", backup.Dir + "/upgrade-1/etcd-snapshot.db",
		certs.StateDir + "/etcd-server/former.key", kubernetesDir + "/tmp/kubeadm-backup-etcd-2026-11-30/etcd/member/snap/db"}
	for _, path := range copies {
		hosttest.Write(t, h, path, "x", 0o600)
	}
	hosttest.Write(t, h, "/data/etcd/member/snap/db", "x", 0o600)
	for _, unit := range []string{keepalivedUnit, vip.WatchUnit, etcdmember.UnitName, kubeletUnit} {
		m.OnUnit(unit, "LoadState=loaded", "ActiveState=active", "SubState=running", "UnitFileState=enabled", "MainPID=9")
		m.On("systemctl stop "+unit, "").On("systemctl disable "+unit, "")
	}
	// Of an attempt that was lost.
	m.OnUnit(controlplane.RetireTimer, "LoadState=loaded", "ActiveState=active", "UnitFileState=transient").On("systemctl stop "+controlplane.RetireTimer, "")
	m.On(retireLine, "")
	data, err := Retire(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, RetireSpec{EtcdData: "/data/etcd"})
	if err != nil {
		t.Fatal(err)
	}
	lines := m.Lines()
	if lines[0] != "systemctl stop keepalived.service" || lines[len(lines)-1] != retireLine ||
		lines[len(lines)-2] != "systemctl stop kubectl-ha-retire.timer" || slices.Contains(lines, "systemctl stop kubelet.service") || !slices.Contains(lines, "systemctl disable kubelet.service") {
		t.Errorf("ran %q", lines)
	}
	gone := slices.Concat([]string{apiserverManifest, pkiDir + "/ca.key", kubernetesDir + "/admin.conf"}, copies)
	for _, path := range gone {
		if there, err := h.Exists(path); err != nil || there {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	if there, err := h.Exists(pkiDir + "/sa.key"); err != nil || !there {
		t.Errorf("somebody else's file is gone: %v", err)
	}
	left := strings.Join(data.(RetireData).Left, "|")
	if !strings.Contains(left, "(/etc/kubernetes)") || !strings.Contains(left, "etcd's data (/data/etcd)") || strings.Contains(left, "kubelet's login (") || strings.Contains(left, "/var/lib/kubelet)") {
		t.Errorf("what is said to be left: %s", left)
	}
	// What systemd runs then takes all of the login, and nothing else.
	files := []string{kubernetesDir + "/kubelet.conf", kubernetesDir + "/bootstrap-kubelet.conf", kubeletPKI + "/kubelet-client-2026.pem", kubeletPKI + "/kubelet.key"}
	for _, path := range append(files, kubeletDir+"/config.yaml") {
		hosttest.Write(t, h, path, "x", 0o600)
	}
	_, after, _ := strings.Cut(retireLine, "ExecStartPost=")
	command, _, _ := strings.Cut(after, " systemctl ")
	argv := strings.Fields(command)
	for i, arg := range argv {
		if i > 0 && strings.HasPrefix(arg, "/") {
			argv[i] = h.Path(arg)
		}
	}
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, path := range files {
		if there, err := h.Exists(path); err != nil || there {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	if there, err := h.Exists(kubeletDir + "/config.yaml"); err != nil || !there {
		t.Errorf("the kubelet's other files: %v, %v", there, err)
	}
}

// A worker has neither the virtual IP nor etcd.
func TestRetireWorker(t *testing.T) {
	m := hosttest.NewCommander(t)
	h := hosttest.New(t, m)
	m.OnUnit(kubeletUnit, "LoadState=loaded", "ActiveState=inactive", "UnitFileState=disabled")
	if _, err := Retire(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, RetireSpec{}); err != nil {
		t.Fatal(err)
	}
	if lines := m.Lines(); len(lines) != 0 {
		t.Errorf("ran %q", lines)
	}
	// Its login goes also when the kubelet has ended before.
	hosttest.Write(t, h, kubernetesDir+"/kubelet.conf", "a login", 0o600)
	m.OnUnit(controlplane.RetireTimer, "LoadState=not-found", "ActiveState=inactive").On(retireLine, "")
	if _, err := Retire(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, RetireSpec{}); err != nil {
		t.Fatal(err)
	}
	if lines := m.Lines(); len(lines) != 1 || lines[0] != retireLine {
		t.Errorf("ran %q", lines)
	}
}

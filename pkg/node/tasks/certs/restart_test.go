package certs

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

// boot is when a test's host was booted.
var boot = time.Now().Add(-time.Hour).Truncate(time.Second)

// spawn makes a process that began so long after the boot.
func spawn(t *testing.T, h *host.Host, pid, program string, after time.Duration) {
	t.Helper()
	hosttest.Write(t, h, "/proc/"+pid+"/cmdline", "/usr/local/bin/"+program+"\x00--kubeconfig=x\x00", 0o444)
	hosttest.Write(t, h, "/proc/"+pid+"/stat", fmt.Sprintf("%s (a) b) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 9 0 %d 1 1", pid, after.Milliseconds()/10), 0o444)
}

// TestRestart ends what was started before its file changed, waits until it runs again, and
// leaves alone what was started since.
func TestRestart(t *testing.T) {
	h := hosttest.New(t, hosttest.NewCommander(t))
	hosttest.Write(t, h, "/proc/stat", fmt.Sprintf("cpu 1 2\nbtime %d\n", boot.Unix()), 0o444)
	file := kubernetesDir + "/" + Scheduler
	hosttest.Write(t, h, file, "x", 0o600)
	if err := os.Chtimes(h.Path(file), boot.Add(30*time.Minute), boot.Add(30*time.Minute)); err != nil {
		t.Fatal(err)
	}
	spawn(t, h, "13", controllerManagerProgram, 10*time.Minute)
	end := func(pid string) error {
		if pid != "12" {
			t.Errorf("%s is ended", pid)
		}
		if err := os.RemoveAll(h.Path("/proc/12")); err != nil {
			t.Error(err)
		}
		spawn(t, h, "14", schedulerProgram, 30*time.Minute+500*time.Millisecond)
		return nil
	}
	if did, err := restartBy(t.Context(), newEnv(h), schedulerProgram, []string{file}, end); did || err != nil {
		t.Errorf("nothing runs: %t %v", did, err)
	}
	spawn(t, h, "12", schedulerProgram, 10*time.Minute)
	if did, err := restartBy(t.Context(), newEnv(h), schedulerProgram, []string{file}, end); !did || err != nil {
		t.Errorf("%t %v", did, err)
	}
	if err := os.RemoveAll(h.Path("/proc/14")); err != nil {
		t.Fatal(err)
	}
	spawn(t, h, "15", schedulerProgram, 31*time.Minute)
	if did, err := restartBy(t.Context(), newEnv(h), schedulerProgram, []string{file}, end); did || err != nil {
		t.Errorf("one that was started since: %t %v", did, err)
	}
	if _, err := restartBy(t.Context(), newEnv(h), schedulerProgram, []string{"/etc/none"}, end); err == nil {
		t.Error("a file that is not there")
	}
}

// TestTerminate ends a real process, and takes one that is gone for ended.
func TestTerminate(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	if err := terminate(pid); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Success() {
		t.Errorf("it ended well: %v", err)
	}
	if err := terminate(pid); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if terminate("x") == nil {
		t.Error("no process")
	}
}

// TestStarted reads what the kernel tells of a process, whatever its name.
func TestStarted(t *testing.T) {
	for stat, want := range map[string]time.Duration{
		"12 (kube-apiserver) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 9 0 250 1 1": 2500 * time.Millisecond,
		"12 (a) b (c)) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 9 0 100 1 1":       time.Second,
	} {
		if got, ok := started(stat); !ok || got != want {
			t.Errorf("%s: %s %t", stat, got, ok)
		}
	}
	for _, stat := range []string{"", "12 (a", "12 (a) S 1", "12 (a) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 9 0 x 1 1"} {
		if got, ok := started(stat); ok {
			t.Errorf("%q: %s", stat, got)
		}
	}
}

// TestRevive restarts the kubelet of a control plane whose apiserver does not run, and nobody
// else's.
func TestRevive(t *testing.T) {
	commands := hosttest.NewCommander(t)
	h := hosttest.New(t, commands)
	hosttest.Write(t, h, "/proc/stat", fmt.Sprintf("btime %d\n", boot.Unix()), 0o444)
	data := Data{Renewed: []Renewed{{Name: EtcdClient}}}
	if err := revive(t.Context(), newEnv(h), &data); err != nil || len(data.Restarted) > 0 {
		t.Errorf("a worker: %+v %v", data, err)
	}
	hosttest.Write(t, h, apiserverManifest, "", 0o600)
	commands.OnUnit(kubeletUnit, "LoadState=loaded", "ActiveState=active", "UnitFileState=enabled").On("systemctl restart kubelet.service", "")
	if err := revive(t.Context(), newEnv(h), &Data{}); err != nil || len(commands.Lines()) > 0 {
		t.Errorf("nothing was renewed: %v %v", err, commands.Lines())
	}
	if err := revive(t.Context(), newEnv(h), &data); err != nil || fmt.Sprint(data.Restarted) != "[kubelet]" || len(commands.Lines()) != 1 {
		t.Errorf("%+v %v %v", data, err, commands.Lines())
	}
	commands.Reset()
	spawn(t, h, "12", "kube-apiserver", time.Minute)
	if err := revive(t.Context(), newEnv(h), &data); err != nil || len(commands.Lines()) > 0 {
		t.Errorf("it runs: %v %v", err, commands.Lines())
	}
}

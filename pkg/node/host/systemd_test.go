package host_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

func TestEnsureUnit(t *testing.T) {
	active := []string{"LoadState=loaded", "ActiveState=active", "UnitFileState=enabled", "MainPID=7"}
	for _, c := range []struct {
		name    string
		unit    []string
		restart bool
		want    string
	}{
		{"runs", active, false, ""},
		{"is to be restarted", active, true, "systemctl restart x.service"},
		{"not started", []string{"LoadState=loaded", "ActiveState=inactive", "UnitFileState=enabled"}, true, "systemctl start x.service"},
		{"not enabled", []string{"LoadState=loaded", "ActiveState=active", "UnitFileState=disabled"}, false, "systemctl enable x.service"},
		{"failed", []string{"LoadState=loaded", "ActiveState=failed", "UnitFileState=enabled"}, false,
			"systemctl reset-failed x.service|systemctl start x.service"},
		{"its file changed", append([]string{"NeedDaemonReload=yes"}, active...), false,
			"systemctl daemon-reload|systemctl restart x.service"},
		{"its file changed, systemd was told, the restart is owed", append([]string{"FragmentPath=/etc/systemd/system/x.service",
			"ExecMainStartTimestampMonotonic=1"}, active...), false, "systemctl restart x.service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			commands := hosttest.NewCommander(t).OnUnit("x.service", c.unit...)
			for _, line := range strings.Split(c.want, "|") {
				commands.On(line, "")
			}
			h := hosttest.New(t, commands)
			hosttest.Write(t, h, "/etc/systemd/system/x.service", "[Service]", 0o644)
			changed, err := h.EnsureUnit(context.Background(), "x.service", c.restart)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(commands.Lines(), "|"); got != c.want || changed != (c.want != "") {
				t.Errorf("ran %q (changed %v), want %q", got, changed, c.want)
			}
		})
	}
}

func TestEnsureUnitThatSystemdDoesNotKnow(t *testing.T) {
	commands := hosttest.NewCommander(t).OnUnit("x.service", "LoadState=not-found", "ActiveState=inactive").
		On("systemctl daemon-reload", "")
	if _, err := hosttest.New(t, commands).EnsureUnit(context.Background(), "x.service", false); err == nil {
		t.Fatal("a unit that does not exist was started")
	}
}

func TestStopUnit(t *testing.T) {
	commands := hosttest.NewCommander(t).
		OnUnit("on.service", "LoadState=loaded", "ActiveState=active", "UnitFileState=enabled").
		OnUnit("off.service", "LoadState=loaded", "ActiveState=inactive", "UnitFileState=disabled").
		OnUnit("none.service", "LoadState=not-found", "ActiveState=inactive").
		On("systemctl stop on.service", "").On("systemctl disable on.service", "")
	h := hosttest.New(t, commands)
	for name, want := range map[string]bool{"on.service": true, "off.service": false, "none.service": false} {
		if changed, err := h.StopUnit(context.Background(), name, true); err != nil || changed != want {
			t.Errorf("%s: changed %v, %v", name, changed, err)
		}
	}
	if got := strings.Join(commands.Lines(), "|"); got != "systemctl stop on.service|systemctl disable on.service" {
		t.Errorf("ran %q", got)
	}
}

func TestUnit(t *testing.T) {
	commands := hosttest.NewCommander(t).
		OnUnit("good", "LoadState=loaded", "ActiveState=active", "SubState=running", "MainPID=12",
			"NeedDaemonReload=no", "ActiveEnterTimestampMonotonic=1000000", "DropInPaths=/a /b").
		OnUnit("odd", "MainPID=12").OnUnit("bad", "LoadState=loaded", "ActiveState=active", "MainPID=x").
		Fail("systemctl show --property="+host.UnitProperties+" refused", 1, "Failed to connect to bus")
	h := hosttest.New(t, commands)
	u, err := h.Unit(context.Background(), "good")
	if err != nil || u.MainPID != 12 || u.SubState != "running" || len(u.Files) != 2 {
		t.Fatalf("%+v %v", u, err)
	}
	if u.ActiveEnter.IsZero() || u.ActiveEnter.After(time.Now()) {
		t.Errorf("active since %s", u.ActiveEnter)
	}
	for _, name := range []string{"odd", "bad", "refused"} {
		if _, err := h.Unit(context.Background(), name); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

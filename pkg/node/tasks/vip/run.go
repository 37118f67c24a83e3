package vip

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// WatchUnit is the watcher's systemd unit.
	WatchUnit      = "kubectl-ha-vip.service"
	keepalivedUnit = "keepalived.service"

	watchUnitPath = "/etc/systemd/system/" + WatchUnit
	dropInPath    = "/etc/systemd/system/keepalived.service.d/kubectl-ha.conf"
	tmpfilesPath  = "/etc/tmpfiles.d/kubectl-ha.conf"
	// candidatePath is where a configuration is tried before it goes live.
	candidatePath = host.StateDir + "/vip/keepalived.conf"
)

// watchUnit starts before keepalived and says that it is ready when there is a
// state to read. A watcher that hangs is started anew; one that ends leaves the
// last state where it is, and so does not move the address.
const watchUnit = `[Unit]
Description=Watch of the local apiserver for the virtual IP
Before=keepalived.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=` + host.AgentPath + ` agent watch-vip --config ` + WatchConfigPath + `
Restart=always
RestartSec=200ms
WatchdogSec=10
TimeoutStartSec=30
RuntimeDirectory=kubectl-ha
RuntimeDirectoryPreserve=yes
CPUWeight=10000

[Install]
WantedBy=multi-user.target
`

// dropIn orders keepalived after the watcher. Requires= would stop keepalived
// with every restart of the watcher. A keepalived that dies leaves the address
// behind; a new one clears it. It needs next to no CPU, but within fractions of a
// second: where images are unpacked or programs compiled, three advertisements that
// come late move the address. keepalived's own vrrp_priority counts for nothing
// beside that, since a service is alone in its cgroup.
const dropIn = `[Unit]
After=` + WatchUnit + `
Wants=` + WatchUnit + `
StartLimitIntervalSec=0

[Service]
Restart=always
RestartSec=1
CPUWeight=10000
`

// tmpfiles makes the track files at boot, before any service: keepalived takes
// a missing file for a healthy apiserver.
var tmpfiles = fmt.Sprintf("d %s 0755 root root -\nf %s 0644 root root - %d\nf %s 0644 root root - 0\nf %s 0644 root root - 0\n", RunDir, HealthFile, Dead, DrainFile, HolderFile)

// Run makes keepalived and the watcher of the local apiserver as wanted. It
// does not wait for the address: before an apiserver runs, nobody has it.
//
// A configuration that is not ours is an error. A changed one is tried before it
// replaces the live one, and read in by a reload. Of itself that does not move the address;
// but a backup begins anew to wait for the holder, three of its own intervals long. When
// these are shorter than the holder's, it takes the address from it for a moment. So whoever
// changes the interval changes it on the holder first: from its next advertisement on,
// which has the interval in it (RFC 5798, 5.2.7), the others wait for that long.
func Run(ctx context.Context, env node.Env, spec Spec) (any, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	h := env.Host
	if err := refuseForeign(ctx, h); err != nil {
		return nil, err
	}
	all, err := links(ctx, h)
	if err != nil {
		return nil, err
	}
	at, err := spec.locate(all)
	if err != nil {
		return nil, err
	}
	if err := install(ctx, env); err != nil {
		return nil, err
	}
	if err := haveAgent(ctx, h, host.SelfPath); err != nil {
		return nil, err
	}
	env.Progress("starting the watch of the apiserver")
	if err := startWatch(ctx, h, spec); err != nil {
		return nil, err
	}
	env.Progress("configuring keepalived")
	return nil, startKeepalived(ctx, h, spec.conf(at))
}

// Foreign tells whether somebody else configured keepalived on the host: a
// configuration that is neither ours, nor empty, nor the package's own sample.
func Foreign(ctx context.Context, h *host.Host) (bool, error) {
	conf, err := h.ReadFile(ConfigPath)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (ours(conf) || len(bytes.TrimSpace(conf)) == 0) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	untouched, err := pristine(ctx, h)
	return !untouched, err
}

// refuseForeign is an error when somebody else configured keepalived.
func refuseForeign(ctx context.Context, h *host.Host) error {
	foreign, err := Foreign(ctx, h)
	if err != nil || !foreign {
		return err
	}
	return host.WithHint(fmt.Errorf("%s was written by somebody else", ConfigPath),
		"move it away when keepalived is not needed for anything else on this host; kubectl-ha does not overwrite it")
}

// haveAgent puts the agent where the watch is started from when it is not there: a host that
// an earlier version has prepared has it elsewhere.
func haveAgent(ctx context.Context, h *host.Host, program string) error {
	there, err := h.Exists(host.AgentPath)
	if err != nil || there {
		return err
	}
	_, err = h.InstallAgent(ctx, program)
	return err
}

func startWatch(ctx context.Context, h *host.Host, spec Spec) error {
	config, err := json.MarshalIndent(WatchConfig{VirtualIP: spec.VirtualIP, Address: spec.Address, Port: spec.APIServerPort}, "", "  ")
	if err != nil {
		return err
	}
	made, err := h.WriteFile(ctx, host.File{Path: tmpfilesPath, Mode: 0o644, Content: []byte(tmpfiles), Note: "the virtual IP's track files at boot"})
	if err != nil {
		return err
	}
	if _, missing := h.Stat(HealthFile); made || missing != nil {
		if _, err := h.Run(ctx, "make the virtual IP's track files", host.Command{Argv: []string{"systemd-tmpfiles", "--create", tmpfilesPath}, Timeout: time.Minute}); err != nil {
			return failure(err, "the virtual IP's track files can't be made", "look at the output of systemd-tmpfiles")
		}
	}
	changed, err := h.WriteFile(ctx, host.File{Path: WatchConfigPath, Mode: 0o644, Content: append(config, '\n'), Note: "the apiserver watch's configuration"})
	if err != nil {
		return err
	}
	if _, err := h.WriteFile(ctx, host.File{Path: watchUnitPath, Mode: 0o644, Content: []byte(watchUnit), Note: "the apiserver watch's systemd unit"}); err != nil {
		return err
	}
	u, err := h.Unit(ctx, WatchUnit)
	if err != nil {
		return err
	}
	if _, err := h.EnsureUnit(ctx, WatchUnit, changed || h.Stale(u, WatchConfigPath, host.AgentPath)); err != nil {
		return failure(err, "the watch of the apiserver does not start", "look at journalctl -u kubectl-ha-vip on the host")
	}
	return nil
}

func startKeepalived(ctx context.Context, h *host.Host, conf []byte) error {
	live, err := h.ReadFile(ConfigPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(live, conf) {
		if err := try(ctx, h, conf); err != nil {
			return err
		}
	}
	if _, err := h.WriteFile(ctx, host.File{Path: dropInPath, Mode: 0o644, Content: []byte(dropIn), Note: "keepalived starts after the apiserver watch"}); err != nil {
		return err
	}
	// 0640: keepalived complains of a configuration that anybody may write or execute.
	if _, err := h.WriteFile(ctx, host.File{Path: ConfigPath, Mode: 0o640, Content: conf, Note: "keepalived's configuration"}); err != nil {
		return err
	}
	return activate(ctx, h, conf)
}

// readPath notes which configuration keepalived has read: a reload, other than
// a restart, leaves no trace in what systemd tells.
const readPath = host.StateDir + "/vip/read"

// activate starts keepalived, or makes a running one read a new configuration.
// A restart would move the address; so EnsureUnit, which restarts for changed unit files
// too, is only for one that does not run. Run tells what moves it all the same.
func activate(ctx context.Context, h *host.Host, conf []byte) error {
	sum := sha256.Sum256(conf)
	note := []byte(hex.EncodeToString(sum[:]) + "\n")
	u, err := h.Unit(ctx, keepalivedUnit)
	if err != nil {
		return err
	}
	if !u.Active() {
		if _, err := h.EnsureUnit(ctx, keepalivedUnit, false); err != nil {
			return failure(err, "keepalived does not start", "look at journalctl -u keepalived on the host")
		}
	} else {
		if _, err := h.EnableUnit(ctx, keepalivedUnit); err != nil {
			return err
		}
		read, err := h.ReadFile(readPath)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if bytes.Equal(read, note) {
			return nil
		}
		if _, err := h.Run(ctx, "make keepalived read its configuration", host.Command{Argv: []string{"systemctl", "reload", keepalivedUnit}, Timeout: time.Minute}); err != nil {
			return failure(err, "keepalived does not read its new configuration", "look at journalctl -u keepalived on the host")
		}
	}
	_, err = h.WriteFile(ctx, host.File{Path: readPath, Mode: 0o600, Content: note, Note: "which configuration keepalived has read"})
	return err
}

// try lets keepalived check a configuration before it replaces the live one.
func try(ctx context.Context, h *host.Host, conf []byte) error {
	if _, err := h.WriteFile(ctx, host.File{Path: candidatePath, Mode: 0o640, Content: conf, Note: "keepalived's configuration, to be tried"}); err != nil || h.DryRun() {
		return err
	}
	if _, err := h.Query(ctx, host.Command{Argv: []string{keepalived, "--config-test", "--use-file", candidatePath}, Timeout: time.Minute}); err != nil {
		return failure(err, "keepalived refuses its configuration", "keepalived 2.1 or later is needed; the configuration is "+candidatePath+" on the host, the live one is as it was")
	}
	return nil
}

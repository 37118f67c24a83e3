package etcdmember

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// UnitName is etcd's systemd unit.
	UnitName = "etcd.service"
	// UnitPath is its file, which tells that the unit is ours.
	UnitPath = "/etc/systemd/system/" + UnitName
	binary   = "/usr/local/bin/etcd"
)

// unit is etcd's systemd unit. etcd tells systemd that it is ready once it
// serves, which takes a quorum: a start has no time limit, since a limit would
// kill the first member for the others' absence.
func unit(mayRaiseLimits bool) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `[Unit]
Description=etcd member
Documentation=https://etcd.io/docs
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
User=%[1]s
Group=%[1]s
EnvironmentFile=%[3]s
ExecStart=%[2]s
Restart=always
RestartSec=1
TimeoutStartSec=infinity
NoNewPrivileges=yes
# A member whose disk or CPU is busy with something else costs the cluster its
# quorum in time: https://etcd.io/docs/v3.6/tuning/#disk
CPUWeight=5000
IOSchedulingClass=best-effort
IOSchedulingPriority=0
`, user, binary, ConfigPath)
	if mayRaiseLimits {
		// The cluster's memory of everything is the last to be ended for want of memory.
		b.WriteString("LimitNOFILE=65536\nOOMScoreAdjust=-900\n")
	}
	b.WriteString("\n[Install]\nWantedBy=multi-user.target\n")
	return []byte(b.String())
}

// capSysResource is CAP_SYS_RESOURCE's bit, from linux/capability.h.
const capSysResource = 24

// mayRaiseLimits tells whether systemd can raise hard limits and lower OOM
// scores here: in containers it often lacks the capability, and a unit that asks
// for either would never start.
func mayRaiseLimits(h *host.Host) bool {
	status, err := h.ReadFile("/proc/1/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		mask, ok := strings.CutPrefix(line, "CapBnd:")
		if !ok {
			continue
		}
		bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
		return err == nil && bits&(1<<capSysResource) != 0
	}
	return false
}

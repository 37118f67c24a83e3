package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
)

const (
	guardUnit     = "kubectl-ha-mend.service"
	guardUnitPath = "/etc/systemd/system/" + guardUnit
	guardAgent    = host.ProgramsDir + "/kubectl-ha-mend"
	// formerGuardAgent is where versions had it that kept programs below the state directory.
	formerGuardAgent = stateDir + "/agent"
	guardRequest     = stateDir + "/mend.json"
)

// guardUnitFile runs Mend at boot, before the kubelet. It is wanted by the boot
// alone and not by the kubelet, which is restarted during an upgrade.
var guardUnitFile = []byte(`[Unit]
Description=Take back an upgrade of this node that a loss of power cut off
RequiresMountsFor=` + host.StateDir + ` ` + host.ProgramsDir + ` /etc/kubernetes /usr/local/bin
Before=kubelet.service
ConditionPathExists=` + guardRequest + `

[Service]
Type=oneshot
ExecStart=` + guardAgent + ` agent run --request ` + guardRequest + `
TimeoutStartSec=300

[Install]
WantedBy=multi-user.target
`)

// guard sees to it that a boot takes back what is unfinished. It stands before a
// mark says that something has begun.
func (up upgrader) guard(ctx context.Context, h *host.Host) error {
	ledger, err := h.Ledger()
	if err != nil {
		return fmt.Errorf("the host's ledger: %w", err)
	}
	request, err := json.Marshal(node.Request{Cluster: ledger.Cluster(), Task: tasks.UpgradeMend, Step: tasks.UpgradeMend, Timeout: 4 * time.Minute})
	if err != nil {
		return err
	}
	// A copy of this very program: the one that lies on the host may be older.
	if _, err := h.InstallProgram(ctx, guardAgent, up.program, 0o700, "the agent, for a boot during an upgrade"); err != nil {
		return err
	}
	for _, f := range []host.File{
		{Path: guardRequest, Mode: 0o600, Content: append(request, '\n'), Note: "what a boot during an upgrade does"},
		{Path: guardUnitPath, Mode: 0o644, Content: guardUnitFile, Note: "takes an unfinished upgrade back at boot"},
	} {
		if _, err := h.WriteFile(ctx, f); err != nil {
			return err
		}
	}
	_, err = h.EnableUnit(ctx, guardUnit)
	return err
}

// unguard takes that away again, once nothing is unfinished any more.
func unguard(ctx context.Context, h *host.Host) error {
	for _, p := range []part{controlPlanePart, kubeletPart} {
		if m, err := readMark(h, p); err != nil || m.State == begun {
			return err
		}
	}
	there, err := h.Exists(guardUnitPath)
	if err != nil {
		return err
	}
	if there {
		if _, err := h.StopUnit(ctx, guardUnit, true); err != nil {
			return err
		}
	}
	for _, path := range []string{guardUnitPath, guardRequest, guardAgent, formerGuardAgent} {
		if _, err := h.Remove(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

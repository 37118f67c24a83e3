package upgrade

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/flagtable"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// ownFlags are the files with the kubelet's flags that are the user's; the unit's
// drop-in reads them after kubeadm's.
// https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/kubelet-integration/
var ownFlags = []string{"/etc/default/kubelet", "/etc/sysconfig/kubelet"}

// gatesFlag is the kubelet's flag within a line of such a file; no value has a space.
var gatesFlag = regexp.MustCompile(`\s*--feature-gates(?:=|\s+)([^\s"']+)`)

// withoutGates takes the feature gates that a version refuses out of the kubelet's
// flags. kubeadm writes these when a node joins, and never again, so that a gate of
// then keeps the kubelet of a version without it from starting. problems say why.
func withoutGates(content, version string) (out string, problems []string) {
	known, minor := flagtable.ComponentGates(), flagtable.Minor(version)
	out = gatesFlag.ReplaceAllStringFunc(content, func(flag string) string {
		m := gatesFlag.FindStringSubmatch(flag)
		gates, err := flagtable.ParseGates(m[1])
		if err != nil {
			return flag // No version takes it.
		}
		before := len(gates)
		for _, name := range slices.Sorted(maps.Keys(gates)) {
			if p := known.Check(minor, name, gates[name]); p.Message != "" && !p.Newer && !p.Untold {
				delete(gates, name)
				problems = append(problems, p.Message)
			}
		}
		switch len(gates) {
		case before:
			return flag
		case 0:
			return ""
		}
		return strings.Replace(flag, m[1], flagtable.FormatGates(gates), 1)
	})
	return out, problems
}

// checkGates refuses gates in the kubelet's flags that the version does not take,
// unless they are going to be removed.
func checkGates(h *host.Host, version string, remove bool) error {
	for _, file := range append([]string{kubeletFlags}, ownFlags...) {
		raw, err := read(h, file)
		if err != nil {
			return err
		}
		_, problems := withoutGates(string(raw), version)
		if len(problems) == 0 || remove && file == kubeletFlags {
			continue
		}
		hint := "--remove-feature-gates takes it out there"
		if file != kubeletFlags {
			hint = "take it out of that file, which is yours, then resume the operation"
		}
		return host.WithHint(fmt.Errorf("the kubelet of %s would not start with its flags in %s: %s", version, file, strings.Join(problems, "; ")), hint)
	}
	return nil
}

// removeGates takes them out of what kubeadm has written.
func removeGates(ctx context.Context, h *host.Host, version string) error {
	raw, err := read(h, kubeletFlags)
	if err != nil {
		return err
	}
	out, problems := withoutGates(string(raw), version)
	if len(problems) == 0 {
		return nil
	}
	_, err = h.WriteFile(ctx, host.File{Path: kubeletFlags, Mode: 0o644, Content: []byte(out), Note: "without feature gates that " + version + " has no more"})
	return err
}

package host

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// What a lab's hosts send to anybody but each other and this machine is refused
// where it would leave their bridge: at once, so that nothing waits for an answer
// that somebody else's network gives or does not give. The rules are a table of
// the lab's own, which no other program and no other lab touches; they come before
// Docker's, whose forwarding would let the packets out or drop them in silence.

// refusalTable is the table's name.
func (l *Lab) refusalTable() string { return fmt.Sprintf("lab77_%d", l.Index) }

// refusals is the table, as a script for nft that puts it in the place of an
// earlier one. Priority -10 is before the "filter" of iptables and Docker (0).
// nft(8), reject statement: a reset is what a closed TCP port answers.
func (l *Lab) refusals() string {
	t := l.refusalTable()
	return strings.Join([]string{
		l.admission(),
		"table inet " + t + " {",
		"	chain outside {",
		"		type filter hook forward priority -10; policy accept;",
		fmt.Sprintf("		iifname %q oifname %q accept", l.bridge(), l.bridge()),
		fmt.Sprintf("		iifname { %q, %q } meta l4proto tcp counter reject with tcp reset", l.bridge(), l.natBridge()),
		fmt.Sprintf("		iifname { %q, %q } counter reject with icmpx type port-unreachable", l.bridge(), l.natBridge()),
		"	}",
		"}",
		"",
	}, "\n")
}

// refuseOutside puts the rules in place, anew each time.
func (l *Lab) refuseOutside(ctx context.Context) error {
	if _, err := exec.LookPath("nft"); err != nil {
		return fmt.Errorf("hosts must not reach what is outside of the lab, and there is no nft to refuse it (lab build installs it): %w", err)
	}
	return nft(ctx, l.refusals())
}

// admitOutside takes the rules away. They may be gone already.
func (l *Lab) admitOutside(ctx context.Context) error {
	if _, err := exec.LookPath("nft"); err != nil {
		// Without nft there can be no rules of ours: no lab comes up without it.
		return nil
	}
	return nft(ctx, l.admission())
}

// admission removes the table, whether it is there or not.
func (l *Lab) admission() string {
	return fmt.Sprintf("table inet %s\ndelete table inet %s\n", l.refusalTable(), l.refusalTable())
}

// nft carries out a script as one transaction.
func nft(ctx context.Context, script string) error {
	_, err := run.Output(ctx, run.Cmd{Argv: run.AsRoot("nft", "--file", "-"), Stdin: strings.NewReader(script)})
	return err
}

package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/backups"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/diagnose"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// listOnHosts lists what Operations tell of, or what is on the hosts' disks: the latter over SSH with
// -f, when there is no API.
func (o *options) listOnHosts(ctx context.Context, onHosts bool) error {
	found, incomplete := o.find(ctx, onHosts)
	return o.showOnHosts(found, incomplete, onHosts || o.file != "")
}

func (o *options) find(ctx context.Context, onHosts bool) ([]upgrade.Backup, error) {
	if o.file != "" {
		a, leave, err := o.reach(ctx, report.Discard())
		defer leave()
		if err != nil {
			return nil, err
		}
		return backups.OnHosts(ctx, a, report.Discard())
	}
	config, err := cli.RestConfig(o.access)
	if err != nil {
		return nil, err
	}
	return diagnose.Backups(ctx, config, onHosts)
}

func (o *options) showOnHosts(backups []upgrade.Backup, incomplete error, onHosts bool) error {
	if incomplete != nil && len(backups) == 0 {
		return incomplete
	}
	if o.output.Names() {
		var names []string
		for _, b := range backups {
			if !slices.Contains(names, b.Name) {
				names = append(names, b.Name) // It may be on several hosts.
			}
		}
		return errors.Join(o.output.PrintNames(o.Out, backupKind, names...), incomplete)
	}
	if o.output.ForPrograms() {
		if backups == nil {
			backups = []upgrade.Backup{}
		}
		return errors.Join(o.output.Print(o.Out, backups), incomplete)
	}
	none := "No Operation in this cluster records a backup; use --hosts to read the hosts."
	if onHosts {
		none = "No backups found on the hosts."
	}
	return errors.Join(printBackups(o.Out, backups, none, time.Now()), incomplete)
}

// printBackups prints them, or what is to be said when there is none.
func printBackups(w io.Writer, all []upgrade.Backup, none string, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, none)
		return err
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	// Into memory, which does not fail.
	_, _ = fmt.Fprintln(t, "NAME\tNODE\tAGE\tWHAT")
	for _, one := range all {
		age := "?"
		if !one.Made.IsZero() {
			age = duration.HumanDuration(now.Sub(one.Made))
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", one.Name, one.Node, age, one.What)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return cli.WriteTrimmed(w, b.String())
}

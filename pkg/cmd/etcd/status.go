package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func newStatus(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &options{IOStreams: streams, access: access}
	c := &cobra.Command{
		Use:   "status",
		Short: "Show version, leader, lag, size and alarms of each etcd member",
		Long: cli.Paragraphs(
			"Each member is queried at its own port, from every control plane node and etcd host. FREE is the part of the database file that a defragmentation would free; LAG is the number of raft entries that a member is behind.",
			fmt.Sprintf("The exit code is %d if a member is not healthy.", cli.ExitFindings)),
		Example: cli.Examples(`
			kubectl ha etcd status
			kubectl ha etcd status -o wide

			# The API is down
			kubectl ha etcd status -f cluster.yaml`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.status(c.Context(), printStatus)
		},
	}
	o.addFlags(c, cli.Formats{Wide: "with storage version, raft index and endpoint"})
	return c
}

func newMembers(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &options{IOStreams: streams, access: access}
	c := &cobra.Command{
		Use:   "members",
		Short: "List the etcd members and the hosts they belong to",
		Long: cli.Paragraphs(
			"The list is etcd's own. Members that belong to no host are listed too, and members that were never started: remove these with node remove --etcd-member."),
		Example: cli.Examples(`
			kubectl ha etcd members
			kubectl ha etcd members -o yaml`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.status(c.Context(), printMembers)
		},
	}
	o.addFlags(c, cli.Formats{Wide: "with client URLs"})
	return c
}

// status looks, and shows it by show.
func (o *options) status(ctx context.Context, show func(w io.Writer, r etcd.Report, wide bool) error) error {
	return o.run(ctx, o.ErrOut, cli.Output{}, func(shown *cli.Progress) error {
		r, err := etcd.Status(ctx, o.action, shown)
		shown.Close()
		if err != nil {
			return err
		}
		if o.output.ForPrograms() {
			return errors.Join(o.output.Print(o.Out, r), r.Err())
		}
		return errors.Join(show(o.Out, r, o.output.Wide()), r.Err())
	})
}

// table writes lines of cells.
func table(b *strings.Builder, head string, lines [][]string) error {
	t := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	// Into memory, which does not fail.
	_, _ = fmt.Fprintln(t, head)
	for _, cells := range lines {
		for i := range cells {
			cells[i] = orDash(cells[i])
		}
		_, _ = fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

func printStatus(w io.Writer, r etcd.Report, wide bool) error {
	var b strings.Builder
	head := "HOST\tSTATE\tVERSION\tSIZE\tFREE\tQUOTA\tLAG\tALARMS"
	if wide {
		head += "\tSTORAGE\tRAFT INDEX\tID\tENDPOINT"
	}
	var lines [][]string
	for _, m := range r.Members {
		cells := []string{member(m), state(m), m.Version, size(m.DBBytes), free(m), size(m.QuotaBytes), lag(m), strings.Join(m.Alarms, ",")}
		if wide {
			cells = append(cells, m.StorageVersion, number(m.RaftIndex), m.ID, m.Endpoint)
		}
		lines = append(lines, cells)
	}
	if err := table(&b, head, lines); err != nil {
		return err
	}
	b.WriteString("\n" + quorum(r) + "\n")
	if r.Revision > 0 {
		fmt.Fprintf(&b, "Revision %d. ", r.Revision)
	}
	b.WriteString(backup(r) + "\n")
	for _, host := range slices.Sorted(maps.Keys(r.Unseen)) {
		first, _, _ := strings.Cut(r.Unseen[host], "\n")
		b.WriteString("not queried from " + host + ": " + first + "\n")
	}
	return cli.WriteTrimmed(w, b.String())
}

func printMembers(w io.Writer, r etcd.Report, wide bool) error {
	var b strings.Builder
	head := "ID\tNAME\tHOST\tSTATE\tVERSION\tPEER URLS"
	if wide {
		head += "\tCLIENT URLS"
	}
	var lines [][]string
	for _, m := range r.Members {
		cells := []string{m.ID, m.Name, m.Host, state(m), m.Version, strings.Join(m.PeerURLs, ",")}
		if wide {
			cells = append(cells, strings.Join(m.ClientURLs, ","))
		}
		lines = append(lines, cells)
	}
	if err := table(&b, head, lines); err != nil {
		return err
	}
	return cli.WriteTrimmed(w, b.String())
}

// member names a member for people.
func member(m etcd.Member) string {
	if m.Host != "" {
		return m.Host
	}
	return m.Label()
}

func state(m etcd.Member) string {
	switch {
	case m.Error != "":
		return "unreachable"
	case !m.Started:
		return "never started"
	case m.Endpoint == "":
		return "not queried"
	case m.Learner:
		return "learner"
	case m.Leader:
		return "leader"
	}
	return "follower"
}

func quorum(r etcd.Report) string {
	version := ""
	if r.Version != "" {
		version = "etcd " + r.Version + ": "
	}
	if !r.Quorum {
		return version + "no quorum, writes are refused."
	}
	return fmt.Sprintf("%squorum, %s may fail.", version, report.Plural(r.Spare, "more member", "more members"))
}

func backup(r etcd.Report) string {
	if r.LastBackup == nil {
		return "No backup found on the queried hosts."
	}
	return fmt.Sprintf("Last backup: %s on %s, %s ago.", r.LastBackup.Name, r.LastBackup.Host, duration.HumanDuration(time.Since(r.LastBackup.Created)))
}

func free(m etcd.Member) string {
	if m.DBBytes == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%.0f%%)", report.Size(m.FreeBytes), 100*m.FreeShare())
}

func lag(m etcd.Member) string {
	if m.Error != "" || m.Version == "" {
		return ""
	}
	return fmt.Sprint(m.Lag)
}

func size(bytes int64) string {
	if bytes <= 0 {
		return ""
	}
	return report.Size(bytes)
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

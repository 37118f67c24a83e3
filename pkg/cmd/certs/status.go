package certs

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

func newStatus(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &options{IOStreams: streams, access: access}
	c := &cobra.Command{
		Use:   "status",
		Short: "List the certificates of the cluster, the first to expire first",
		Long: cli.Paragraphs(
			"Shows the certificates served at the ports of the cluster: owner, expiry, and what renews them. --deep reads the files on every node with short read-only Jobs, and with -f over SSH on etcd hosts that are not nodes.",
			fmt.Sprintf("A certificate is due when less than half of its validity is left. The exit code is %d if a certificate has expired, or is due and renewed by this program.", cli.ExitFindings)),
		Example: cli.Examples(`
			kubectl ha certs status
			kubectl ha certs status --deep -o wide

			# With dedicated etcd hosts
			kubectl ha certs status --deep -f cluster.yaml`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.complete(c.Context()); err != nil {
				return err
			}
			return o.status(c.Context())
		},
	}
	o.addFlags(c)
	f := c.Flags()
	f.BoolVar(&o.action.Deep, "deep", false, "read the files on every host instead of querying ports")
	cli.AddOutput(c, &o.output, cli.Formats{Wide: "with files, names and fingerprints"})
	return c
}

func (o *options) status(ctx context.Context) error {
	shown := cli.NewProgress(o.ErrOut, cli.Output{})
	defer shown.Close()
	if o.action.Deep {
		leave, err := o.connect(ctx, shown, o.action.LoginsInUse)
		if err != nil {
			return err
		}
		defer leave()
	}
	r, err := certs.Status(ctx, o.action, shown)
	shown.Close()
	if err != nil {
		return err
	}
	if o.output.ForPrograms() {
		err = o.output.Print(o.Out, r)
	} else {
		err = printReport(o.Out, r, o.output.Wide())
	}
	if err != nil {
		return err
	}
	return r.Err()
}

// printReport prints a line a certificate.
func printReport(w io.Writer, r certs.Report, wide bool) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	head := "HOST\tCERTIFICATE\tEXPIRES\tREMAINING\tRENEWED BY\tDUE"
	if wide {
		head += "\tFILE\tNAMES\tISSUER\tSHA-256"
	}
	// Into memory, which does not fail.
	_, _ = fmt.Fprintln(t, head)
	all := slices.Clone(r.Certificates)
	slices.SortStableFunc(all, func(x, y certs.Entry) int { return x.NotAfter.Compare(y.NotAfter) })
	for _, e := range all {
		if e.NotAfter.IsZero() && !wide {
			continue // A key, which has no end.
		}
		due := "no"
		if e.Due {
			due = "yes"
		}
		cells := []string{orDash(e.Host), what(e), date(e), left(e.NotAfter, r.Time), orDash(string(e.RenewedBy)), due}
		if wide {
			cells = append(cells, orDash(e.File), orDash(strings.Join(e.Names, ",")), orDash(e.Issuer), orDash(short(e.Fingerprint)))
		}
		_, _ = fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteString(scheduleLine(r) + "\n")
	for _, m := range notSeen(r) {
		b.WriteString("not checked: " + m + "\n")
	}
	return cli.WriteTrimmed(w, b.String())
}

// notSeen are hosts and files that could not be looked at.
func notSeen(r certs.Report) []string {
	var out []string
	for host, why := range r.Unseen {
		out = append(out, host+": "+why)
	}
	slices.Sort(out)
	return append(out, r.Missed...)
}

// what names a certificate as `certs renew` takes it, or else says what it is for.
func what(e certs.Entry) string {
	switch {
	case e.Name != "":
		return e.Name
	case e.What != "":
		return e.What
	}
	return e.File
}

func date(e certs.Entry) string {
	if e.NotAfter.IsZero() {
		return "-"
	}
	return e.NotAfter.Local().Format("2006-01-02 15:04")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// short is the beginning of a fingerprint, which tells certificates apart.
func short(fingerprint string) string { return fingerprint[:min(len(fingerprint), 16)] }

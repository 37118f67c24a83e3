package certs

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// addAuthority adds the flags for CAs that are kept elsewhere.
func (o *options) addAuthority(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&o.caCerts, "ca-cert", nil, "certificate `file` of a CA whose key is on no host: the etcd CA, or a kubeadm CA; can be repeated")
	f.StringSliceVar(&o.caKeys, "ca-key", nil, "private key `file` of the CA, in the order of --ca-cert; the key does not leave this machine")
}

// readAuthority reads the CAs. What is in a key is in no error.
func (o *options) readAuthority() error {
	if len(o.caCerts) != len(o.caKeys) {
		return action.Invalidf("each --ca-cert needs its --ca-key: there are %d and %d", len(o.caCerts), len(o.caKeys))
	}
	for i := range o.caCerts {
		pair, err := pki.ReadOwn(bundles.ExpandHome(o.caCerts[i]), bundles.ExpandHome(o.caKeys[i]))
		if err != nil {
			return action.As(action.Invalid, err)
		}
		o.action.CAs = append(o.action.CAs, pair)
	}
	return nil
}

// requests writes certificate requests, for who has the CAs' keys.
func (o *renewOptions) requests(ctx context.Context) error {
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	defer cli.TellInterrupted(ctx, shown)()
	leave, err := o.connect(ctx, shown, o.action.LoginsInUse)
	if err != nil {
		return err
	}
	defer leave()
	done, err := certs.Requests(ctx, o.action, o.csrDir, shown)
	shown.Close()
	if err != nil {
		return err
	}
	if o.output.ForPrograms() {
		return o.output.PrintLine(o.Out, done)
	}
	_, err = fmt.Fprint(o.Out, o.written(done))
	return err
}

// written says what is to be done with requests.
func (o *renewOptions) written(done certs.Written) string {
	var b strings.Builder
	for _, left := range done.Left {
		b.WriteString("not checked: " + left + "\n")
	}
	switch {
	case len(done.Files) == 0:
		b.WriteString("No certificate is due that has to be signed elsewhere.\n")
		return b.String()
	case o.action.DryRun:
		b.WriteString("To be written:\n")
	}
	for _, f := range done.Files {
		b.WriteString(f + "\n")
	}
	if !o.action.DryRun {
		fmt.Fprintf(&b, "%s written. Have them signed with their extensions as HOST/NAME.crt, then run: kubectl ha certs renew --signed-dir %s\n", report.Plural(len(done.Files), "request", "requests"), o.csrDir)
	}
	return b.String()
}

// show prints a plan, but for what is left, of which there is a warning or an error.
func (o *options) show(p certs.Plan) error {
	var b strings.Builder
	b.WriteString("To be renewed, in this order:\n")
	part := func(n v1alpha1.NodeCertificates, way string) {
		fmt.Fprintf(&b, "  %s (%s): %s\n", n.Name, way, strings.Join(append(append([]string{}, n.Signed...), n.Local...), ", "))
	}
	for _, h := range p.Hosts {
		part(h, "over SSH")
	}
	for _, a := range p.Addons {
		fmt.Fprintf(&b, "  secret %s\n", a)
	}
	for _, n := range p.Nodes {
		part(n, "by an Operation")
	}
	_, err := fmt.Fprint(o.Out, b.String())
	return err
}

package certs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/access"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	task "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// rotateOptions replace a CA while it is in use.
type rotateOptions struct {
	options
	until    string
	rotation certs.RotateOptions
	// caCert and caKey are files of the new CA, when it is the caller's own.
	caCert, caKey string
}

func newRotate(streams genericiooptions.IOStreams, flags *genericclioptions.ConfigFlags) *cobra.Command {
	o := &rotateOptions{options: options{IOStreams: streams, access: flags}}
	var valid []string
	for _, a := range task.Authorities() {
		valid = append(valid, string(a))
	}
	c := &cobra.Command{
		Use:   "rotate-ca (" + strings.Join(valid, "|") + ")",
		Short: "Replace a CA, or the service account key, while it is in use",
		Long: cli.Paragraphs(
			"Replaces a CA of the cluster, or the key that signs service account tokens, by a new one, without interruption. There are three phases. In `trust`, all nodes and components trust the new CA in addition to the old one. In `issue`, everything is signed by the new CA. In `finish`, the old CA is no longer trusted, and its key is deleted.",
			"--until pauses after a phase: for hours or days, in which nodes can join, and pods can be restarted. Run the command again to continue. Until the last phase has begun, --undo takes the rotation back.",
			"The key of the etcd CA is on this machine, in the state directory of the cluster, and stays here: `rotate-ca etcd` needs the Cluster file (-f), and works over SSH. It restarts etcd members and API servers one at a time.",
			"The new CA is created, unless you provide one of your own with --ca-cert and --ca-key. It is checked like those in spec.pki of the Cluster file. Its key is encrypted to each control plane node before it leaves this machine; that of the etcd CA stays here.",
			"In-cluster clients that read ca.crt only when they start have to be restarted between the first and the last phase. `finish` refuses to start as long as there are pods that were started before the new CA was published; --restart-workloads restarts them within their budgets."),
		Example: cli.Examples(`
			# Show what would be done
			kubectl ha certs rotate-ca kubernetes --dry-run

			# Trust the new CA everywhere, and pause
			kubectl ha certs rotate-ca kubernetes --until trust

			# Complete it, and restart what may not trust the new CA yet
			kubectl ha certs rotate-ca kubernetes --restart-workloads shop,billing/deployment

			kubectl ha certs rotate-ca service-account

			kubectl ha certs rotate-ca etcd -f cluster.yaml

			# Replace the CA by one of your own
			kubectl ha certs rotate-ca kubernetes --ca-cert new-ca.crt --ca-key new-ca.key

			# Take a rotation back
			kubectl ha certs rotate-ca kubernetes --undo`),
		Args:      cli.OneArg("authority"),
		ValidArgs: valid,
		RunE: func(c *cobra.Command, args []string) error {
			o.rotation.Authority, o.rotation.Until = task.Authority(args[0]), task.Phase(o.until)
			if err := o.validate(); err != nil {
				return err
			}
			if err := o.readNext(); err != nil {
				return err
			}
			if err := o.complete(c.Context()); err != nil {
				return err
			}
			return o.run(c.Context())
		},
	}
	o.addFile(c, "Cluster `file`, to log in to the hosts: for the etcd CA")
	cli.AddHostKeyFlag(c, &o.hostKey)
	o.addLife(c)
	f := c.Flags()
	f.StringVar(&o.caCert, "ca-cert", "", "certificate `file` of a new CA of your own (default: the new CA is created)")
	f.StringVar(&o.caKey, "ca-key", "", "private key `file` of the CA in --ca-cert")
	f.StringVar(&o.until, "until", "", "pause after this `phase`: trust, issue or finish (default finish)")
	f.BoolVar(&o.rotation.Back, "undo", false, "take the rotation back")
	f.StringSliceVar(&o.rotation.Restart, "restart-workloads", nil, "restart these `workloads` once the new CA is published: NAMESPACE, NAMESPACE/KIND or NAMESPACE/KIND/NAME; can be repeated")
	f.BoolVar(&o.rotation.LeaveStale, "leave-workloads", false, "finish although pods were started before the new CA was published")
	cli.AddDryRun(f, &o.action.DryRun, "only show the plan")
	cli.AddYes(f, &o.yes, "")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "one event per line, then the result"})
	return c
}

func (o *rotateOptions) validate() error {
	return o.checkPrompt()
}

// readNext reads the new CA, when it is the caller's own.
func (o *rotateOptions) readNext() error {
	if o.caCert == "" && o.caKey == "" {
		return nil
	}
	if o.caCert == "" || o.caKey == "" {
		return action.Invalidf("a CA of your own needs both --ca-cert and --ca-key")
	}
	pair, err := pki.ReadOwn(bundles.ExpandHome(o.caCert), bundles.ExpandHome(o.caKey))
	if err != nil {
		return action.As(action.Invalid, err)
	}
	o.rotation.Next = &pair
	return nil
}

func (o *rotateOptions) run(ctx context.Context) error {
	started := time.Now()
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	defer cli.TellInterrupted(ctx, shown)()
	o.warnOfLife(shown)
	o.rotation.Options = o.action
	leave, err := o.connect(ctx, shown, o.rotation.Logins)
	if err != nil {
		return err
	}
	defer leave()
	o.rotation.Options, o.rotation.Login = o.action, o.login(shown)
	o.rotation.Confirm = func(ctx context.Context, p certs.RotationPlan) error {
		return o.confirm(ctx, shown, func() error { return o.show(p) }, "Continue?")
	}
	r, err := certs.Rotate(ctx, o.rotation, shown)
	shown.Close()
	return o.finish(r, err, started)
}

// login has the caller's credentials issued anew, and merged into the kubeconfig in use.
func (o *rotateOptions) login(sink report.Sink) func(context.Context, *rest.Config) (*rest.Config, error) {
	return func(ctx context.Context, config *rest.Config) (*rest.Config, error) {
		merge := clientcmd.NewDefaultPathOptions()
		merge.LoadingRules.ExplicitPath = *o.access.KubeConfig
		return access.Reissue(ctx, config, cli.CertificateUser(), merge, sink)
	}
}

// finish writes what was done. Exit codes do not depend on how that is written.
func (o *rotateOptions) finish(r certs.RotationResult, err error, started time.Time) error {
	if o.output.ForPrograms() {
		return errors.Join(o.output.PrintLine(o.Out, r), err)
	}
	if err != nil {
		return err
	}
	text := ""
	switch {
	case o.action.DryRun && !r.Plan.Empty():
		return o.show(r.Plan)
	case r.Plan.InUse():
		text = fmt.Sprintf("Nothing to do: the cluster already has this CA (%s) for %s.", r.Plan.To, r.Plan.Authority)
	case r.Plan.Empty():
		text = fmt.Sprintf("Nothing to do: the phase %s is complete.", r.Reached)
	case r.Plan.Back:
		text = fmt.Sprintf("The rotation was taken back in %s.", report.Elapsed(time.Since(started)))
	case r.Reached == "":
		text = fmt.Sprintf("The rotation is complete (%s).", report.Elapsed(time.Since(started)))
	default:
		text = fmt.Sprintf("The phase %s is complete (%s). To continue: %s certs rotate-ca %s%s", r.Reached, report.Elapsed(time.Since(started)), program.Name, r.Plan.Authority, o.fileArgument())
	}
	_, err = fmt.Fprintln(o.Out, text)
	return err
}

// fileArgument is the flag with the Cluster file, where one was given.
func (o *rotateOptions) fileArgument() string {
	if o.file == "" {
		return ""
	}
	return " -f " + o.file
}

// phaseText is what is done in a phase.
func phaseText(p task.Phase) string {
	switch p {
	case task.PhaseTrust:
		return "trust the new one as well, on every node and in every component"
	case task.PhaseIssue:
		return "sign everything with the new one"
	}
	return "stop trusting the old one, and delete its key"
}

// show prints a plan.
func (o *rotateOptions) show(p certs.RotationPlan) error {
	var b strings.Builder
	verb := "Rotate"
	if p.Back {
		verb = "Take back the rotation of"
	}
	others := report.Plural(p.Workers, "worker", "workers")
	if p.Members > 0 {
		others = report.Plural(p.Members, "etcd member", "etcd members")
	}
	fmt.Fprintf(&b, "%s %s on %s and %s:\n", verb, p.Authority, report.Plural(p.ControlPlanes, "control plane node", "control plane nodes"), others)
	fmt.Fprintf(&b, "  old: %s\n", p.From)
	if p.To != "" {
		fmt.Fprintf(&b, "  new: %s\n", p.To)
	}
	for _, phase := range p.Phases {
		fmt.Fprintf(&b, "  phase %-6s  %s\n", phase, phaseText(phase))
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "Note: %s\n", n)
	}
	if len(p.Stale) > 0 {
		fmt.Fprintf(&b, "Workloads with pods that may not trust the new CA yet: %s\n", strings.Join(p.Stale, ", "))
	}
	_, err := fmt.Fprint(o.Out, b.String())
	return err
}

package images

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	use "github.com/kubectl-ha/kubectl-ha/pkg/action/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// The values of --via.
const (
	viaAPI    = "api"
	viaDirect = "direct"
)

// imagesPushOptions put images into nodes.
type imagesPushOptions struct {
	imagesOptions
	use.PushOptions
	maxRate rateFlag
	via     string
	yes     bool
}

func newImagesPush(shared imagesOptions) *cobra.Command {
	o := &imagesPushOptions{imagesOptions: shared}
	c := &cobra.Command{
		Use:   "push {BUNDLE | REF...}",
		Short: "Push the images of a bundle, or images by name, to the nodes",
		Long: cli.Paragraphs(
			"Pushes the images of a bundle, or images pulled on this machine by name, to the image stores of the nodes. Each byte leaves this machine once, through the API server and with your own permissions. The nodes pass the images on to each other, and skip those they have. No registry is needed.",
			"Images that only control plane nodes run go only to them. Run the command again to resume an interrupted push. If another Operation is in progress, the push waits for it."),
		Example: cli.Examples(`
			kubectl ha images push bundle.tar
			kubectl ha images push docker.io/library/nginx:1.29 -l role=edge

			# Limit the bandwidth; or only show what would be pushed
			kubectl ha images push bundle.tar --max-rate 50Mbit
			kubectl ha images push bundle.tar --dry-run`),
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			o.What = args
			if err := o.Validate(); err != nil {
				return err
			}
			if err := o.connect(); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	f := c.Flags()
	o.addSelector(c, "push only to")
	f.BoolVar(&o.AllNodes, "all-nodes", false, "push every image to every node, regardless of role")
	f.BoolVar(&o.Programs, "programs", false, "also copy kubeadm, kubelet and kubectl of the bundle to the nodes, for a later upgrade; nothing is installed")
	f.Var(&o.maxRate, "max-rate", "maximum send rate of this machine and of each node, such as 50Mbit")
	f.StringVar(&o.via, "via", viaAPI, "`way` to reach the nodes: api (through the API server) or direct (to the --peer-port of one node)")
	f.Int32Var(&o.Port, "peer-port", v1alpha1.DefaultPeerPort, "TCP `port` that the nodes use among each other")
	f.StringVar(&o.Pull.Mirror, "mirror", "", "for REF: base `URL` of a mirror that serves images under their original paths")
	f.BoolVar(&o.Pull.TrustMirror, "trust-mirror", false, "for REF: "+cli.TrustMirrorUsage)
	f.StringVar(&o.Pull.AuthFile, "auth-file", "", "for REF: `file` with registry credentials: containers-auth.json or docker config.json, including its credential helpers")
	f.StringVar(&o.Pull.SignaturePolicy, "signature-policy", "", "for REF: containers-policy.json `file`")
	f.StringArrayVar(&o.Bases, "base", nil, "bundle (`file`) that holds what BUNDLE leaves out; can be repeated")
	cli.AddTrustFlags(f, &o.Trust, "bundle-")
	cli.AddYes(f, &o.yes, "this command never prompts; accepted as on other commands: ")
	cli.AddDryRun(f, &o.DryRun, "only show what would be pushed")
	cli.AddOutput(c, &o.output, cli.Formats{Documents: "one event per line"})
	return c
}

// Validate refuses what can't be.
func (o *imagesPushOptions) Validate() error {
	if o.via != viaAPI && o.via != viaDirect {
		return action.Invalidf("unknown value --via %s; use %s or %s", o.via, viaAPI, viaDirect)
	}
	if o.Port < 1 || o.Port > 65535 {
		return action.Invalidf("--peer-port %d is not a valid port", o.Port)
	}
	if err := use.CheckPush(o.PushOptions); err != nil {
		return err
	}
	return nil
}

// Run pushes, or shows what would be pushed.
func (o *imagesPushOptions) Run(ctx context.Context) error {
	o.Config, o.Selector, o.MaxRate, o.Direct = o.config, o.selector, o.maxRate.bytes, o.via == viaDirect
	shown := cli.NewProgress(o.Out, o.output)
	result, err := use.RunPush(ctx, o.PushOptions, shown)
	shown.Close()
	if err != nil || !o.DryRun {
		return err
	}
	return o.show(result.Pushes)
}

// show tells what would go where.
func (o *imagesPushOptions) show(pushes []use.Push) error {
	if o.output.ForPrograms() {
		type planned struct {
			Arch string `json:"arch"`
			images.Matrix
			Targets []string `json:"targets"`
		}
		var out []planned
		for _, p := range pushes {
			out = append(out, planned{p.Arch, p.Matrix, p.Targets})
		}
		return o.output.Print(o.Out, out)
	}
	for _, p := range pushes {
		if err := printMatrix(o.Out, p.Matrix); err != nil {
			return err
		}
		text := "\nEvery node has what it needs.\n"
		if len(p.Targets) > 0 {
			lacking := p.Lacking()
			text = fmt.Sprintf("\nTo be pushed to %s: %s, at most %s.\n", strings.Join(p.Targets, ", "),
				report.Plural(len(lacking), "image", "images"), report.Size(bundle.Contents{Images: lacking}.Size()))
		}
		if _, err := fmt.Fprint(o.Out, text); err != nil {
			return err
		}
	}
	return nil
}

package images

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	push "github.com/kubectl-ha/kubectl-ha/pkg/action/images"
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
	push.PushOptions
	maxRate rateFlag
	via     string
	yes     bool
}

func newImagesPush(shared imagesOptions) *cobra.Command {
	o := &imagesPushOptions{imagesOptions: shared}
	c := &cobra.Command{
		Use:   "push {BUNDLE | REF...}",
		Short: "Put a bundle's images, or images by name, into the nodes' image stores",
		Long: cli.Paragraphs(
			"Puts the images of a bundle, or images that are pulled here by their names, into the image stores of the nodes. Each byte leaves this machine once, through the API server and with your own rights; the nodes pass it to each other, and what a node has is not sent. No registry is needed.",
			"Images that only control planes run go to control planes only. An interrupted push goes on with what is missing when it is run again. While another Operation is in progress it is waited for."),
		Example: cli.Examples(`
			kubectl ha images push bundle.tar
			kubectl ha images push docker.io/library/nginx:1.29 -l role=edge

			# Leave room on the link; show only what would go where
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
	f.BoolVar(&o.AllNodes, "all-nodes", false, "push every image to every node, whatever role it is for")
	f.BoolVar(&o.Programs, "programs", false, "bring kubeadm, kubelet and kubectl of the bundle as well, for an upgrade; none is installed")
	f.Var(&o.maxRate, "max-rate", "what this machine, and each node, sends at most, such as 50Mbit")
	f.StringVar(&o.via, "via", viaAPI, "the `way` to the nodes: api is through the API server, direct is to one node's --peer-port")
	f.Int32Var(&o.Port, "peer-port", v1alpha1.DefaultPeerPort, "the nodes' TCP `port` for each other")
	f.StringVar(&o.Pull.Mirror, "mirror", "", "a base `URL` that serves images under their own paths, for REF")
	f.BoolVar(&o.Pull.TrustMirror, "trust-mirror", false, cli.TrustMirrorUsage+", for REF")
	f.StringVar(&o.Pull.AuthFile, "auth-file", "", "the logins of registries, for REF: a containers-auth.json or docker config.json (`file`), with the helpers that it names")
	f.StringVar(&o.Pull.SignaturePolicy, "signature-policy", "", "a containers-policy.json (`file`), for REF")
	f.StringArrayVar(&o.Bases, "base", nil, "the bundle (`file`) that BUNDLE is only the difference to; may be repeated")
	cli.AddTrustFlags(f, &o.Trust, "bundle-")
	cli.AddYes(f, &o.yes, "nothing is asked here; as on the other commands: ")
	cli.AddDryRun(f, &o.DryRun, "show what would go where, and end")
	f.StringVarP(&o.output, "output", "o", "", "text (default), or json: an event per line")
	return c
}

// Validate refuses what can't be.
func (o *imagesPushOptions) Validate() error {
	if o.via != viaAPI && o.via != viaDirect {
		return action.Invalidf("--via %s is not known; use %s or %s", o.via, viaAPI, viaDirect)
	}
	if o.Port < 1 || o.Port > 65535 {
		return action.Invalidf("--peer-port %d is no port", o.Port)
	}
	if err := push.CheckPush(o.PushOptions); err != nil {
		return err
	}
	return cli.CheckOutput(o.output)
}

// Run pushes, or shows what would be pushed.
func (o *imagesPushOptions) Run(ctx context.Context) error {
	o.Config, o.Selector, o.MaxRate, o.Direct = o.config, o.selector, o.maxRate.bytes, o.via == viaDirect
	shown := cli.NewProgress(o.Out, o.output)
	result, err := push.RunPush(ctx, o.PushOptions, shown)
	shown.Close()
	if err != nil || !o.DryRun {
		return err
	}
	return o.show(result.Pushes)
}

// show tells what would go where.
func (o *imagesPushOptions) show(pushes []push.Push) error {
	if o.output == cli.OutputJSON {
		type planned struct {
			Arch string `json:"arch"`
			images.Matrix
			Targets []string `json:"targets"`
		}
		var out []planned
		for _, p := range pushes {
			out = append(out, planned{p.Arch, p.Matrix, p.Targets})
		}
		return cli.WriteJSON(o.Out, out)
	}
	for _, p := range pushes {
		if err := printMatrix(o.Out, p.Matrix); err != nil {
			return err
		}
		text := "\nEvery node has what it needs.\n"
		if len(p.Targets) > 0 {
			lacking := []bundle.Image{}
			for i, row := range p.Matrix.Images {
				if slices.ContainsFunc(p.Matrix.Nodes, func(node string) bool { return push.Lacks(row.States[node]) }) {
					lacking = append(lacking, p.Images[i])
				}
			}
			text = fmt.Sprintf("\nTo be brought to %s: %s, of at most %s.\n", strings.Join(p.Targets, ", "),
				report.Plural(len(lacking), "image", "images"), report.Size(bundle.Contents{Images: lacking}.Size()))
		}
		if _, err := fmt.Fprint(o.Out, text); err != nil {
			return err
		}
	}
	return nil
}

package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	tasks "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/images"
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
	args     []string
	allNodes bool
	// programs brings those of the bundle's Kubernetes version too.
	programs bool
	maxRate  rateFlag
	via      string
	port     int32
	dryRun   bool
	yes      bool
	bases    []string
	trust    bundleTrust
	pull     bundle.CreateOptions
	// pulled is where images go that are pulled by their names.
	pulled *pulledImages
}

func newImagesPush(shared imagesOptions) *cobra.Command {
	o := &imagesPushOptions{imagesOptions: shared}
	c := &cobra.Command{
		Use:   "push {BUNDLE | REF...}",
		Short: "Put a bundle's images, or images by name, into the nodes' image stores",
		Long: paragraphs(
			"Puts the images of a bundle, or images that are pulled here by their names, into the image stores of the nodes. Each byte leaves this machine once, through the API server and with your own rights; the nodes pass it to each other, and what a node has is not sent. No registry is needed.",
			"Images that only control planes run go to control planes only. An interrupted push goes on with what is missing when it is run again. While another Operation is in progress it is waited for."),
		Example: examples(`
			kubectl ha images push bundle.tar
			kubectl ha images push docker.io/library/nginx:1.29 -l role=edge

			# Leave room on the link; show only what would go where
			kubectl ha images push bundle.tar --max-rate 50Mbit
			kubectl ha images push bundle.tar --dry-run`),
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			o.args = args
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
	f.BoolVar(&o.allNodes, "all-nodes", false, "push every image to every node, whatever role it is for")
	f.BoolVar(&o.programs, "programs", false, "bring kubeadm, kubelet and kubectl of the bundle as well, for an upgrade; none is installed")
	f.Var(&o.maxRate, "max-rate", "what this machine, and each node, sends at most, such as 50Mbit")
	f.StringVar(&o.via, "via", viaAPI, "the `way` to the nodes: api is through the API server, direct is to one node's --peer-port")
	f.Int32Var(&o.port, "peer-port", v1alpha1.DefaultPeerPort, "the nodes' TCP `port` for each other")
	f.StringVar(&o.pull.Mirror, "mirror", "", "a base `URL` that serves images under their own paths, for REF")
	f.BoolVar(&o.pull.TrustMirror, "trust-mirror", false, trustMirrorUsage+", for REF")
	f.StringVar(&o.pull.AuthFile, "auth-file", "", "the logins of registries, for REF: a containers-auth.json or docker config.json (`file`), with the helpers that it names")
	f.StringVar(&o.pull.SignaturePolicy, "signature-policy", "", "a containers-policy.json (`file`), for REF")
	f.StringArrayVar(&o.bases, "base", nil, "the bundle (`file`) that BUNDLE is only the difference to; may be repeated")
	o.trust.addFlags(f, "bundle-")
	addYes(f, &o.yes, "nothing is asked here; as on the other commands: ")
	addDryRun(f, &o.dryRun, "show what would go where, and end")
	f.StringVarP(&o.output, "output", "o", "", "text (default), or json: an event per line")
	return c
}

// Validate refuses what can't be.
func (o *imagesPushOptions) Validate() error {
	if len(o.args) == 0 {
		return usageErrorf("name a bundle, or images")
	}
	if err := o.trust.requires(len(o.args) == 1 && looksLikeFile(o.args[0]), "its file"); err != nil {
		return err
	}
	if o.via != viaAPI && o.via != viaDirect {
		return usageErrorf("--via %s is not known; use %s or %s", o.via, viaAPI, viaDirect)
	}
	if o.port < 1 || o.port > 65535 {
		return usageErrorf("--peer-port %d is no port", o.port)
	}
	return checkOutput(o.output)
}

// Run pushes, once for each architecture that the nodes have.
func (o *imagesPushOptions) Run(ctx context.Context) (err error) {
	nodes, err := o.nodes(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.pulled.end(err == nil && !o.dryRun)) }()
	b, err := o.open(ctx, nodes)
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // only read
	ops, err := o.operations(ctx)
	if err != nil {
		return err
	}
	all, err := ops.List(ctx)
	if err != nil {
		return clusterError(err)
	}
	pushes, err := planPushes(b.Contents(), nodes, all, o.allNodes)
	if err == nil && o.programs {
		err = addPrograms(pushes, b.Contents(), nodes)
	}
	if err != nil {
		return withCode(ExitUsage, err)
	}
	if o.dryRun {
		return o.show(pushes)
	}
	for _, p := range pushes {
		if len(p.targets) == 0 {
			if err := o.say("%s for %s: every node has what it needs\n", plural(len(p.images), "image", "images"), p.arch); err != nil {
				return err
			}
			continue
		}
		if err := o.push(ctx, ops, b, p); err != nil {
			return err
		}
	}
	return nil
}

// say writes a line for people.
func (o *imagesPushOptions) say(format string, args ...any) error {
	var w io.Writer = o.Out
	if o.output == outputJSON {
		w = o.ErrOut
	}
	_, err := fmt.Fprintf(w, format, args...)
	return err
}

// push has one Operation carried out, and feeds it.
func (o *imagesPushOptions) push(ctx context.Context, ops *incluster.Operations, b *bundle.Bundle, p push) error {
	if err := b.Contents().ForArch(p.arch).Check("", p.arch, ""); err != nil {
		return withCode(ExitUsage, err)
	}
	parcel, err := o.read(ctx, p, b)
	if err != nil {
		return err
	}
	_, identity := parcel.Encode()
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationImages, Images: &v1alpha1.ImagesSpec{
		Parcel: v1alpha1.Content{Digest: identity.Digest.String(), Size: identity.Size},
		Images: pushedImages(p.images), Nodes: p.targets, AllRoles: o.allNodes, MaxRate: o.maxRate.bytes, Port: o.port,
	}}
	op, over, err := o.sameOperation(ctx, ops, spec)
	if err != nil {
		return clusterError(err)
	}
	if over {
		return o.say("operation %s has just put these images there\n", op.Name)
	}
	if op == nil {
		agents, err := ensureAgent(ctx, o.IOStreams, o.config, o.output)
		if err != nil {
			return err
		}
		if op, err = createWhenFree(ctx, ops.WithAgents(agents), spec, o.ErrOut); err != nil {
			return clusterError(err)
		}
	}
	sent, err := o.carryOut(ctx, ops, op.Name, parcel, b)
	if err != nil {
		return err
	}
	return o.say("%s on %s; %s were sent\n", isAre(len(p.images), "image"), plural(len(p.targets), "node", "nodes"), size(sent))
}

// read reads all that may have to be sent, and refuses what is damaged.
func (o *imagesPushOptions) read(ctx context.Context, p push, b *bundle.Bundle) (*swarm.Parcel, error) {
	shown, began := newProgress(o.Out, o.output), time.Now()
	e := report.Event{Time: began, Kind: report.StepStarted, Step: "read", Title: "read and check the images"}
	shown.Emit(e)
	parcel, err := swarm.NewParcelOf(ctx, p.images, p.programs, b)
	e.Time, e.Elapsed, e.Kind = time.Now(), time.Since(began), report.StepDone
	if err != nil {
		e.Kind, e.Error = report.StepFailed, err.Error()
	}
	shown.Emit(e)
	shown.Close()
	if err != nil {
		return nil, withCode(ExitUsage, fmt.Errorf("read %s: %w", o.args[0], err))
	}
	return parcel, nil
}

func isAre(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

// carryOut feeds an Operation and shows it until it ends.
func (o *imagesPushOptions) carryOut(ctx context.Context, ops *incluster.Operations, name string, parcel *swarm.Parcel, source bundle.Upstream) (sent int64, err error) {
	feeder, err := images.NewFeeder(o.config)
	if err != nil {
		return 0, err
	}
	shown := newProgress(o.Out, o.output)
	feed := newFeedProgress(shown, name, time.Now)
	feeder.Direct, feeder.MaxRate = o.via == viaDirect, o.maxRate.bytes
	feeder.Progress, feeder.Log = feed.tell, feed.log
	err = watchFed(ctx,
		func(ctx context.Context) error { return feeder.Feed(ctx, name, parcel, source) },
		func(ctx context.Context) error { return ops.Watch(ctx, name, shown) })
	feed.end(err)
	shown.Close()
	var failed *incluster.FailedError
	var unfed *unfedError
	switch {
	case err == nil:
		return feed.sent(), nil
	case errors.As(err, &unfed):
		return 0, fmt.Errorf("%w; once that is mended the same command again goes on with what is missing; without it operation %s ends by itself within %s or so, or at once with `%s operation abort %s`",
			unfed.err, name, tasks.DefaultPatience, displayName, name)
	case ctx.Err() != nil:
		return 0, fmt.Errorf("%w; the same command again goes on with what is missing", err)
	case errors.As(err, &failed):
		return 0, err
	}
	return 0, clusterError(err)
}

// unfedError is why an Operation is not fed any more.
type unfedError struct{ err error }

// Error is the reason.
func (e *unfedError) Error() string { return e.err.Error() }

// Unwrap is the reason.
func (e *unfedError) Unwrap() error { return e.err }

// watchFed watches an Operation while it is fed. When feeding can't go on, watching
// ends with an unfedError: the Operation would only wait for what nobody brings. How
// the Operation ended comes before how the feed did.
func watchFed(ctx context.Context, feed, watch func(context.Context) error) error {
	feeding, stop := context.WithCancel(ctx)
	watching, give := context.WithCancelCause(ctx)
	defer give(nil)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		if err := feed(feeding); err != nil && feeding.Err() == nil {
			give(&unfedError{err})
		}
	}()
	err := watch(watching)
	stop()
	<-fed
	var unfed *unfedError
	if ctx.Err() == nil && errors.As(context.Cause(watching), &unfed) && (errors.Is(err, context.Canceled) || errors.Is(err, unfed)) {
		return unfed
	}
	return err
}

package addon

import (
	addons "github.com/kubectl-ha/kubectl-ha/pkg/action/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"

	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/feed"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// AddonInstallOptions install addons.
type AddonInstallOptions struct {
	AddonOptions
	Args    []string
	with    []string
	without []string
	// companions are installed for the first argument, as if it needed them.
	companions []string
	source     addonSource
	DryRun     bool
	cli.WaitFlags
	Yes bool
}

// addonChoice is one addon that is about to be installed.
type addonChoice struct {
	addon  *addon.Addon
	item   v1alpha1.AddonItem
	packed []byte
}

func newAddonInstall(shared AddonOptions) *cobra.Command {
	o := &AddonInstallOptions{AddonOptions: shared}
	c := &cobra.Command{
		Use:   "install NAME|FOLDER…",
		Short: "Install addons, or bring them to this program's versions",
		Long: cli.Paragraphs(
			"Applies the manifests of addons, and of what they need, and waits until all is well. What somebody else has changed is reported and left alone. Doing it again changes nothing, or renews certificates that have less than a third of their life left.",
			"Nodes take images from registries, or have them already: `kubectl ha images push` brings those of a bundle made with --addons. Manifests that upstream publishes come from that bundle with --bundle, else from upstream; their checksums are pinned."),
		Example: cli.Examples(`
			kubectl ha addon install metrics-server
			kubectl ha addon install monitoring --without grafana

			# Without the internet
			kubectl ha bundle create --addons etcd-operator --out addons.tar
			kubectl ha images push addons.tar
			kubectl ha addon install etcd-operator --bundle addons.tar

			# The manifests as they would be applied
			kubectl ha addon install ./my-addon -o yaml`),
		ValidArgsFunction: completeAddons,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return action.Invalidf("name an addon; %s addon list shows them", program.Name)
			}
			o.Args = args
			return o.Run(c.Context())
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.with, "with", nil, "also install these `variants` of the addons")
	f.StringSliceVar(&o.without, "without", nil, "leave these `variants` out")
	o.addFlags(c)
	return c
}

// addFlags adds the flags that the dashboard's installation has too.
func (o *AddonInstallOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.source.bundle, "bundle", "", "take upstream's manifests from this bundle (`file`)")
	cli.AddTrustFlags(f, &o.source.trust, "bundle-")
	f.StringVar(&o.source.mirror, "mirror", "", "a base `URL` that serves upstream's files under their own paths")
	cli.AddDryRun(f, &o.DryRun, "show what would be done, and end")
	o.Add(f, "", "begin it, and leave")
	cli.AddYes(f, &o.Yes, "")
	f.StringVarP(&o.Output, "output", "o", "", "text (default), json: an event per line; or yaml: the manifests, and nothing is done")
}

// Run shows what is done, asks, and has the cluster do it.
func (o *AddonInstallOptions) Run(ctx context.Context) error {
	if err := cli.CheckOutput(o.Output, cli.OutputYAML); err != nil {
		return err
	}
	if err := o.source.trust.Requires(o.source.bundle != "", "--bundle"); err != nil {
		return err
	}
	all, names, err := addons.Catalogue(o.Args)
	if err != nil {
		return err
	}
	if err := o.connect(ctx); err != nil {
		return err
	}
	chosen, err := o.choose(ctx, all, names)
	if err != nil {
		return err
	}
	if o.Output == cli.OutputYAML {
		return o.manifests(chosen)
	}
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationAddon, Addon: &v1alpha1.AddonSpec{Action: v1alpha1.AddonInstall}}
	for _, c := range chosen {
		spec.Addon.Addons = append(spec.Addon.Addons, c.item)
	}
	if err := o.show(ctx, spec, chosen); err != nil || o.DryRun {
		return err
	}
	certificates, err := o.certificates(ctx, chosen)
	if err != nil {
		return err
	}
	if !o.Yes {
		if err := cli.Confirm(ctx, o.In, o.ErrOut, "Install?"); err != nil {
			return err
		}
	}
	return o.create(ctx, spec, func(ctx context.Context, op *v1alpha1.Operation) error {
		packed := map[string][]byte{}
		for _, c := range chosen {
			packed[c.item.Name] = c.packed
		}
		return install.HandOver(ctx, o.clients.Kube, op, packed, certificates)
	}, o.WaitFlags)
}

// create brings this program's agent, creates the Operation and shows it.
func (o *AddonOptions) create(ctx context.Context, spec v1alpha1.OperationSpec, handOver func(context.Context, *v1alpha1.Operation) error, waits cli.WaitFlags) error {
	shown := cli.NewProgress(o.Out, o.Output)
	defer shown.Close()
	ops, err := agents.Ready(ctx, o.config, o.cluster, shown)
	if err != nil {
		return err
	}
	op, err := feed.CreateWhenFree(ctx, handingOver{ops, handOver}, spec, shown)
	shown.Close()
	if err != nil {
		return action.OfCluster(err)
	}
	return cli.WatchOrLeave(ctx, o.IOStreams, ops, op.Name, o.Output, waits)
}

// handingOver creates Operations with what is handed over for them.
type handingOver struct {
	*incluster.Operations
	handOver func(context.Context, *v1alpha1.Operation) error
}

// Create is CreateWith.
func (h handingOver) Create(ctx context.Context, spec v1alpha1.OperationSpec) (*v1alpha1.Operation, error) {
	return h.CreateWith(ctx, spec, h.handOver)
}

// choose says which addons are installed, in which order, with what.
func (o *AddonInstallOptions) choose(ctx context.Context, all addon.Catalogue, names []string) ([]addonChoice, error) {
	order, err := all.Order(append(slices.Clone(names), o.companions...)...)
	if err != nil {
		return nil, action.As(action.Invalid, err)
	}
	used := map[string]bool{}
	var out []addonChoice
	for _, a := range order {
		if err := o.source.fetch(ctx, a); err != nil {
			return nil, err
		}
		packed, digest, err := a.Pack()
		if err != nil {
			return nil, err
		}
		name, named := a.Descriptor.Name, slices.Contains(names, a.Descriptor.Name)
		inv, there := o.find(name)
		if there && !named && inv.Digest == digest && inv.State == install.Installed && !slices.Contains(o.companions, name) {
			continue // It is what is needed already.
		}
		item := v1alpha1.AddonItem{Name: name, Version: a.Descriptor.Version, Digest: digest, Variants: o.variants(a, inv, there, used)}
		if !named {
			item.For = o.neededBy(all, order, name, names[0])
			if there {
				item.For = inv.For
			}
		}
		out = append(out, addonChoice{addon: a, item: item, packed: packed})
	}
	for _, v := range slices.Concat(o.with, o.without) {
		if !used[v] {
			return nil, action.Invalidf("no addon that is installed has a variant %s", v)
		}
	}
	return out, nil
}

// neededBy is the addon for which another one is brought in.
func (o *AddonInstallOptions) neededBy(all addon.Catalogue, order []*addon.Addon, name, first string) string {
	for _, a := range order {
		if slices.Contains(all[a.Descriptor.Name].Descriptor.Needs, name) {
			return a.Descriptor.Name
		}
	}
	return first
}

// variants are those that are asked for; without a word those that there are, or
// that are usual.
func (o *AddonInstallOptions) variants(a *addon.Addon, inv install.Inventory, there bool, used map[string]bool) []string {
	var out []string
	for name, v := range a.Descriptor.Variants {
		with, without := slices.Contains(o.with, name), slices.Contains(o.without, name)
		used[name] = used[name] || with || without
		usual := v.Default
		if there {
			usual = slices.Contains(inv.Variants, name)
		}
		if with || usual && !without {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// manifests prints what would be applied.
func (o *AddonInstallOptions) manifests(chosen []addonChoice) error {
	for _, c := range chosen {
		objects, err := c.addon.Render(o.facts(), c.item.Variants)
		if err != nil {
			return err
		}
		if err := cli.PrintManifests(o.Out, objects); err != nil {
			return err
		}
	}
	return nil
}

// facts are as the coordinator has them; the agent's image only stands for it.
func (o *AddonInstallOptions) facts() addon.Facts {
	return addon.Facts{Cluster: o.cluster, AgentImage: bundle.AgentRepository}
}

// show prints the steps, and refuses what would fail.
func (o *AddonInstallOptions) show(ctx context.Context, spec v1alpha1.OperationSpec, chosen []addonChoice) error {
	nodes, err := o.clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return action.OfCluster(err)
	}
	seen := o.seen(nodes.Items)
	for _, c := range chosen {
		seen.Addons[c.item.Name] = c.addon
		objects, err := c.addon.Render(o.facts(), c.item.Variants)
		if err != nil {
			return action.As(action.Invalid, err)
		}
		if err := install.Foreign(ctx, o.clients, c.item.Name, objects); err != nil {
			return action.As(action.Findings, action.OfCluster(err))
		}
	}
	return o.showPlan(spec, seen)
}

func (o *AddonOptions) seen(nodes []corev1.Node) install.Seen {
	seen := install.Seen{Nodes: nodes, Addons: map[string]*addon.Addon{}, Installed: map[string]install.Inventory{}}
	for _, inv := range o.installed {
		seen.Installed[inv.Name] = inv
	}
	return seen
}

// showPlan prints the steps that the cluster will take.
func (o *AddonOptions) showPlan(spec v1alpha1.OperationSpec, seen install.Seen) error {
	steps, err := install.Plan(&v1alpha1.Operation{Spec: spec}, o.cluster, seen)
	if err != nil {
		return action.As(action.Findings, err)
	}
	if o.Output == cli.OutputJSON {
		return cli.WriteJSONLine(o.Out, map[string]any{"plan": steps})
	}
	var b strings.Builder
	for _, s := range steps {
		where := ""
		if s.Node != "" && !strings.Contains(s.Title, s.Node) {
			where = " (on " + s.Node + ")"
		}
		fmt.Fprintf(&b, "  %s%s\n", s.Title, where)
		if s.Message != "" {
			fmt.Fprintf(&b, "    left out: %s\n", s.Message)
		}
	}
	_, err = fmt.Fprint(o.Out, b.String())
	return err
}

// certificates are those that etcd's CA signs, whose key is on this machine.
func (o *AddonInstallOptions) certificates(ctx context.Context, chosen []addonChoice) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, c := range chosen {
		for _, cert := range c.addon.Descriptor.Certificates {
			if cert.Authority != addon.AuthorityEtcd {
				continue
			}
			good, err := install.Good(ctx, o.clients.Kube, cert, pki.Request{}, time.Now())
			if err != nil {
				return nil, action.OfCluster(err)
			}
			if good {
				continue
			}
			parts, err := o.etcdCertificate(ctx, c.item.Name, cert)
			if err != nil {
				return nil, err
			}
			for k, v := range parts {
				out[k] = v
			}
		}
	}
	return out, nil
}

// etcdCA names etcd's CA in the cluster's directory on the workstation.
const etcdCA = "etcd"

func (o *AddonInstallOptions) etcdCertificate(ctx context.Context, name string, cert addon.Certificate) (map[string][]byte, error) {
	dir, err := cli.StateDir(o.cluster)
	if err != nil {
		return nil, err
	}
	store, err := pki.OpenStore(dir)
	if err != nil {
		return nil, err
	}
	ca, found, err := store.Load(ctx, etcdCA)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, action.As(action.Findings, fmt.Errorf("the addon %s reads etcd with a certificate that etcd's CA has signed, and its key is not in %s: "+
			"run this where the cluster was bootstrapped, or copy that directory from there", name, dir))
	}
	pair, err := pki.Issue(ca, pki.Request{CommonName: cert.CommonName, Client: true})
	if err != nil {
		return nil, err
	}
	return install.Handed(name, cert.Secret, pair, ca.CertPEM), nil
}

package bundles

import (
	"context"
	"crypto"
	"io"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// AllAddons stands for every addon that comes with this program.
const AllAddons = "all"

// CreateOptions say what goes into a bundle.
type CreateOptions struct {
	bundle.CreateOptions
	// Cluster has the version and the sources that are not set above; nil is none.
	Cluster *v1alpha1.Cluster
	// With are the addons that are put in with all that they need, by what Catalogue knows them
	// by; AllAddons may be among them.
	With []string
	// Catalogue finds addons: all that there are, and what the arguments mean. It is the addon
	// action's, which is above this one, and needed where With is not empty.
	Catalogue func(args []string) (all addon.Catalogue, names []string, err error)
}

// Create makes a bundle of all that was asked for. What is contradictory or not known is an
// action.Invalid, and nothing is downloaded.
func Create(ctx context.Context, o CreateOptions, sink report.Sink) (bundle.Contents, error) {
	opts, err := o.resolve()
	if err != nil {
		return bundle.Contents{}, err
	}
	return bundle.Create(ctx, opts, sink)
}

// resolve is what is to be made, of all that was said.
func (o CreateOptions) resolve() (bundle.CreateOptions, error) {
	opts := o.CreateOptions
	opts.ExtraImages = slices.Clone(opts.ExtraImages)
	if len(o.With) > 0 {
		if err := o.addAddons(&opts); err != nil {
			return opts, err
		}
	}
	if o.Cluster != nil {
		opts = WithClusterSources(opts, o.Cluster)
	}
	if opts.NetworkPlugin == "" && opts.KubernetesVersion != "" {
		opts.NetworkPlugin = v1alpha1.NetworkPluginFlannel
	}
	return opts, check(opts)
}

// addAddons puts in what addons and their needs consist of.
func (o CreateOptions) addAddons(opts *bundle.CreateOptions) error {
	args := slices.DeleteFunc(slices.Clone(o.With), func(a string) bool { return a == AllAddons })
	all, names, err := o.Catalogue(args)
	if err != nil {
		return err
	}
	if len(args) < len(o.With) {
		names = append(names, all.Names()...)
	}
	order, err := all.Order(names...)
	if err != nil {
		return action.As(action.Invalid, err)
	}
	for _, a := range order {
		d := a.Descriptor
		opts.Addons = append(opts.Addons, bundle.Addon{Name: d.Name, Version: d.Version, Images: a.Images()})
		opts.ExtraImages = append(opts.ExtraImages, a.Images()...)
		for _, f := range d.Files {
			opts.Files = append(opts.Files, bundle.PinnedFile{URL: f.URL, SHA256: f.SHA256})
		}
	}
	return nil
}

// check refuses what is missing or unknown. It is pure.
func check(o bundle.CreateOptions) error {
	if o.KubernetesVersion == "" {
		if len(o.ExtraImages)+len(o.Manifests)+len(o.From)+len(o.Addons) == 0 && o.NetworkPlugin == "" && o.LoadBalancer == "" {
			return action.Invalidf("specify the contents: a version with --kubernetes-version, a Cluster file with -f, " +
				"or images with --addons, --add-image, --from-manifest or --from")
		}
	} else if _, err := v1alpha1.MinorOf(o.KubernetesVersion); err != nil {
		return action.Invalidf("--kubernetes-version: %w", err)
	}
	if o.TrustMirror && o.Mirror == "" && len(o.Mirrors) == 0 {
		return action.Invalidf("--trust-mirror requires --mirror or --registry-mirror")
	}
	if o.Output == "" {
		return action.Invalidf("specify the file to write with --out")
	}
	switch o.NetworkPlugin {
	case "", v1alpha1.NetworkPluginFlannel, v1alpha1.NetworkPluginManifest, v1alpha1.NetworkPluginNone:
	default:
		return action.Invalidf("unknown value --network-plugin %s; use flannel, manifest or none", o.NetworkPlugin)
	}
	switch o.LoadBalancer {
	case "", v1alpha1.LoadBalancerHAProxy, v1alpha1.LoadBalancerNginx:
	default:
		return action.Invalidf("unknown value --load-balancer %s; use %s or %s", o.LoadBalancer, v1alpha1.LoadBalancerHAProxy, v1alpha1.LoadBalancerNginx)
	}
	for _, arch := range o.Archs {
		if !slices.Contains(bundle.Archs(), arch) {
			return action.Invalidf("unknown value --arch %s; use %s", arch, strings.Join(bundle.Archs(), " or "))
		}
	}
	return nil
}

// SigningKey reads the private key of a signature; "-" is standard input. A passphrase is for
// the program to ask that has the key: `openssl pkey -in FILE | … --sign-key -`.
func SigningKey(path string, stdin io.Reader) (crypto.Signer, error) {
	data, err := ReadKey(path, stdin)
	if err != nil {
		return nil, action.Invalidf("--sign-key %s: %w", path, err)
	}
	key, err := bundle.SigningKey(data)
	if err != nil {
		return nil, action.Invalidf("--sign-key %s: %w", path, err)
	}
	return key, nil
}

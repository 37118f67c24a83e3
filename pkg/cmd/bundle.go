package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

func newBundle(streams genericiooptions.IOStreams) *cobra.Command {
	c := &cobra.Command{
		Use:     "bundle",
		Short:   "Make, look into and verify bundles: all images and programs of one version",
		GroupID: groupBundle,
		Long: paragraphs(
			"A bundle is one file with the images and host programs of one Kubernetes version, each by its digest: an OCI layout. It crosses your link to the hosts once; they pass it to each other. No host needs the internet or a registry."),
		Example: examples(`
			kubectl ha bundle create --kubernetes-version ` + v1alpha1.DefaultKubernetesVersion + ` -o bundle.tar
			kubectl ha bundle inspect bundle.tar
			kubectl ha bundle verify bundle.tar`),
		Args: cobra.ArbitraryArgs,
		RunE: runGroup,
	}
	c.AddCommand(newBundleCreate(streams), newBundleInspect(streams), newBundleVerify(streams))
	return c
}

type bundleCreateOptions struct {
	genericiooptions.IOStreams
	file, output string
	mirrors      []string
	plugin       string
	opts         bundle.CreateOptions
}

func newBundleCreate(streams genericiooptions.IOStreams) *cobra.Command {
	o := &bundleCreateOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "create {--kubernetes-version V | -f FILE} -o FILE",
		Short: "Download everything that a version needs into one file",
		Long: paragraphs(
			"Downloads the images and host programs of one Kubernetes version, checks each against what upstream publishes, and writes them into one file. The same version gives the same bytes. An interrupted run goes on where it was."),
		Example: examples(`
			# For amd64 hosts, with flannel's images
			kubectl ha bundle create --kubernetes-version ` + v1alpha1.DefaultKubernetesVersion + ` -o bundle.tar

			# What the Cluster file wants: version, registry, mirrors, network plugin, extra images
			kubectl ha bundle create -f cluster.yaml -o bundle.tar

			# Through a mirror that serves upstream's files and images under their own paths
			kubectl ha bundle create -f cluster.yaml --mirror https://mirror.example.com -o bundle.tar`),
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Complete(); err != nil {
				return err
			}
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	f := c.Flags()
	c.Flags().StringVarP(&o.file, "filename", "f", "", "take version and sources from this Cluster `file`; flags go before")
	f.StringVar(&o.opts.KubernetesVersion, "kubernetes-version", "", "the Kubernetes `version`, such as "+v1alpha1.DefaultKubernetesVersion)
	f.StringVar(&o.opts.EtcdVersion, "etcd-version", "", "the etcd `version` (default "+bundle.DefaultEtcdVersion+")")
	f.StringVar(&o.opts.Arch, "arch", "", "the hosts' `architecture`: amd64 (default) or arm64")
	f.StringVar(&o.opts.Mirror, "mirror", "", "a base `URL` that serves upstream's files and images under their own paths")
	f.StringArrayVar(&o.mirrors, "registry-mirror", nil, "`REGISTRY=PREFIX` to pull a registry's images from; may be repeated")
	f.StringVar(&o.opts.Registry, "registry", "", "the `registry` of Kubernetes' own images (default "+bundle.KubernetesRegistry+")")
	f.StringVar(&o.opts.AuthFile, "auth-file", "", "a containers-auth.json or docker config.json (`file`)")
	f.StringVar(&o.opts.SignaturePolicy, "signature-policy", "", "a containers-policy.json (`file`); without one digests are checked, no signatures")
	f.StringVar(&o.plugin, "network-plugin", "", "the network `plugin` whose images are added: flannel (default), manifest or none")
	f.StringArrayVar(&o.opts.ExtraImages, "image", nil, "an image (`REF`) to put in as well; may be repeated")
	f.StringVarP(&o.opts.Output, "output", "o", "", "the `file` to write")
	f.StringVar(&o.output, "progress", "", "how to show what happens: text (default) or json")
	return c
}

// Complete fills in what the Cluster file says.
func (o *bundleCreateOptions) Complete() error {
	o.opts.NetworkPlugin = v1alpha1.NetworkPlugin(o.plugin)
	for _, m := range o.mirrors {
		registry, prefix, ok := strings.Cut(m, "=")
		if !ok || registry == "" || prefix == "" {
			return usageErrorf("--registry-mirror %s: write REGISTRY=PREFIX, such as docker.io=registry.example.com/hub", m)
		}
		if o.opts.Mirrors == nil {
			o.opts.Mirrors = map[string]string{}
		}
		o.opts.Mirrors[registry] = prefix
	}
	if o.file != "" {
		c, _, err := loadCluster(o.file, o.In)
		if err != nil {
			return err
		}
		o.opts = withClusterSources(o.opts, c)
	}
	if o.opts.NetworkPlugin == "" {
		o.opts.NetworkPlugin = v1alpha1.NetworkPluginFlannel
	}
	return nil
}

// withClusterSources fills in what is not set from a Cluster file.
func withClusterSources(opts bundle.CreateOptions, c *v1alpha1.Cluster) bundle.CreateOptions {
	images := c.Spec.Images
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&opts.KubernetesVersion, c.Spec.KubernetesVersion}, {&opts.EtcdVersion, c.Spec.Etcd.Version},
		{&opts.Registry, images.Registry}, {&opts.Mirror, images.Mirror}, {&opts.AuthFile, expandHome(images.AuthFile)},
	} {
		if *f.to == "" {
			*f.to = f.from
		}
	}
	if opts.NetworkPlugin == "" {
		opts.NetworkPlugin = c.Spec.Network.Plugin
	}
	if len(opts.Mirrors) == 0 {
		opts.Mirrors = images.Mirrors
	}
	opts.ExtraImages = append(opts.ExtraImages, images.ExtraImages...)
	return opts
}

// Validate refuses what is missing or unknown.
func (o *bundleCreateOptions) Validate() error {
	if o.opts.KubernetesVersion == "" {
		return usageErrorf("name the version with --kubernetes-version, or a Cluster file with -f")
	}
	if _, err := v1alpha1.MinorOf(o.opts.KubernetesVersion); err != nil {
		return usageErrorf("--kubernetes-version: %w", err)
	}
	if o.opts.Output == "" {
		return usageErrorf("name the file to write with -o")
	}
	switch o.opts.NetworkPlugin {
	case v1alpha1.NetworkPluginFlannel, v1alpha1.NetworkPluginManifest, v1alpha1.NetworkPluginNone:
	default:
		return usageErrorf("--network-plugin %s is not known; use flannel, manifest or none", o.opts.NetworkPlugin)
	}
	return checkOutput(o.output)
}

// Run makes the bundle.
func (o *bundleCreateOptions) Run(ctx context.Context) error {
	p := newProgress(o.Out, o.output)
	contents, err := bundle.Create(ctx, o.opts, p)
	p.Close()
	if err != nil {
		return err
	}
	if o.output == outputJSON {
		return nil
	}
	_, err = fmt.Fprintf(o.Out, "%s: %s\n", o.opts.Output, summary(contents))
	return err
}

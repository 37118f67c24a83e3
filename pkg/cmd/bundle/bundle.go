package bundle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func NewBundle(streams genericiooptions.IOStreams) *cobra.Command {
	c := &cobra.Command{
		Use:     "bundle",
		Short:   "Make, look into and verify bundles: all images and programs of one version",
		GroupID: cli.GroupBundle,
		Long: cli.Paragraphs(
			"A bundle is one file with the images and host programs of one Kubernetes version, each by its digest: an OCI layout. It crosses your link to the hosts once; they pass it to each other. No host needs the internet or a registry."),
		Example: cli.Examples(`
			kubectl ha bundle create --kubernetes-version ` + v1alpha1.DefaultKubernetesVersion + ` --out bundle.tar
			kubectl ha bundle inspect bundle.tar
			kubectl ha bundle verify bundle.tar
			kubectl ha bundle diff old.tar bundle.tar`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	c.AddCommand(newBundleCreate(streams), newBundleInspect(streams), newBundleVerify(streams), newBundleDiff(streams))
	return c
}

type bundleCreateOptions struct {
	genericiooptions.IOStreams
	file, output string
	mirrors      []string
	archs        []string
	plugin       string
	addons       []string
	signKey      string
	opts         bundle.CreateOptions
}

func newBundleCreate(streams genericiooptions.IOStreams) *cobra.Command {
	o := &bundleCreateOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "create --out FILE [--kubernetes-version V | -f CLUSTER] [IMAGES]",
		Short: "Download everything that a version needs into one file",
		Long: cli.Paragraphs(
			"Downloads the images and host programs of one Kubernetes version, checks them, and writes them into one file. The same inputs give the same bytes. An interrupted run goes on where it was. Without a version the bundle holds images only.",
			"What has a version of this program's choice is compared with digests that come with it. Kubernetes' own programs, and other versions of etcd, have a checksum from where they come from; images have a digest when their reference has one, or a signature with --signature-policy. What is left is listed as not verified, here and by `kubectl ha bundle inspect`. A mirror that holds builds of its own is taken with --trust-mirror.",
			"--from takes what `docker save`, podman, buildah, skopeo, nerdctl, kaniko and `cosign save` write: archives of `docker save`, OCI archives and layouts (a bundle is one), and directories of skopeo's dir: kind. Images are called what the file calls them, or REF in REF=PATH, and go before the registries'. PATH:@INDEX is one image of the file, counted from 0: so each image of a file that was saved by IDs gets a name.",
			"Logins of registries are read from --auth-file, or else from where podman, skopeo and docker keep them: $REGISTRY_AUTH_FILE, containers/auth.json below $XDG_RUNTIME_DIR and ~/.config, ~/.docker/config.json. Programs that these name (credsStore, credHelpers) are asked; one that fails is warned of, and what is public is pulled without it."),
		Example: cli.Examples(`
			# For amd64 hosts, with flannel's images
			kubectl ha bundle create --kubernetes-version ` + v1alpha1.DefaultKubernetesVersion + ` --out bundle.tar

			# What the Cluster file wants: version, registry, mirrors, network plugin, extra images
			kubectl ha bundle create -f cluster.yaml --out bundle.tar

			# For hosts of two kinds, with the load balancer and the images of one's own applications
			kubectl ha bundle create --kubernetes-version ` + v1alpha1.DefaultKubernetesVersion + ` --arch amd64,arm64 \
			  --load-balancer haproxy --from-manifest deploy/ --add-image quay.io/team/tool:v1 --out all.tar

			# Images only, some of them from files
			kubectl ha bundle create --from saved.tar --from quay.io/team/app:v2=app-oci/ --out images.tar

			# A file that was saved by IDs: its images have no names
			kubectl ha bundle create --from app:v1=saved.tar:@0 --from db:v1=saved.tar:@1 --out images.tar

			# Only what the bundle that is there already lacks
			kubectl ha bundle create --kubernetes-version ` + v1alpha1.DefaultKubernetesVersion + ` --since old.tar --out difference.tar

			# Signed, for those who carry it over
			openssl genpkey -algorithm ed25519 -out sign.key
			openssl pkey -in sign.key -pubout -out sign.pub
			kubectl ha bundle create -f cluster.yaml --sign-key sign.key --out bundle.tar

			# Through a mirror that serves upstream's files and images under their own paths
			kubectl ha bundle create -f cluster.yaml --mirror https://mirror.example.com --out bundle.tar`),
		Args: cli.NoArgs,
		RunE: cli.InOrder(o),
	}
	o.addFlags(c)
	return c
}

func (o *bundleCreateOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	cli.AddOutFlag(c, o.IOStreams, &o.opts.Output, "the `file` to write")
	f.StringVarP(&o.file, "filename", "f", "", "take version and sources from this Cluster `file`; flags go before")
	f.StringVar(&o.opts.KubernetesVersion, "kubernetes-version", "", "the Kubernetes `version`, such as "+v1alpha1.DefaultKubernetesVersion)
	f.StringVar(&o.opts.EtcdVersion, "etcd-version", "", "the etcd `version` (default "+bundle.DefaultEtcdVersion+")")
	f.StringSliceVar(&o.archs, "arch", nil, "the hosts' `architectures`: amd64 (default), arm64, or both with a comma")
	f.StringVar(&o.plugin, "network-plugin", "", "the network `plugin` whose images are added: flannel (default), manifest or none")
	f.StringVar(&o.opts.LoadBalancer, "load-balancer", "", "the load balancer (`type`) whose image is added: haproxy or nginx")
	f.StringSliceVar(&o.addons, "addons", nil, "the `addons` whose images and manifests are added, such as dashboard,monitoring; all for every one;\na folder of your own may be among them")
	f.StringArrayVar(&o.opts.ExtraImages, "add-image", nil, "an image (`REF`) to put in as well; may be repeated")
	f.StringArrayVar(&o.opts.Manifests, "from-manifest", nil, "put the images of the pods in this Kubernetes manifest, or in all of a directory\n(`PATH`), in as well; may be repeated")
	f.StringArrayVar(&o.opts.From, "from", nil, "take images from this file or directory (`[REF=]PATH[:@INDEX]`); may be repeated")
	f.StringVar(&o.opts.Since, "since", "", "leave out what this other bundle (`file`) has")
	f.StringVar(&o.opts.Mirror, "mirror", "", "a base `URL` that serves upstream's files and images under their own paths")
	f.BoolVar(&o.opts.TrustMirror, "trust-mirror", false, cli.TrustMirrorUsage)
	f.StringArrayVar(&o.mirrors, "registry-mirror", nil, "`REGISTRY=PREFIX` to pull a registry's images from; may be repeated")
	f.StringVar(&o.opts.Registry, "registry", "", "the `registry` of Kubernetes' own images (default "+bundle.KubernetesRegistry+")")
	f.StringVar(&o.opts.AuthFile, "auth-file", "", "the logins of registries: a containers-auth.json or docker config.json (`file`), with the helpers that it names")
	f.StringVar(&o.opts.SignaturePolicy, "signature-policy", "", "a containers-policy.json (`file`); without one digests are checked, no signatures")
	f.StringVar(&o.signKey, "sign-key", "", "sign the bundle with this private key in PEM (`file`), Ed25519 or ECDSA with P-256; - is standard input")
	f.StringVar(&o.output, "progress", "", "how to show what happens: text (default) or json")
}

// Complete fills in what the Cluster file says.
func (o *bundleCreateOptions) Complete() error {
	o.opts.NetworkPlugin = v1alpha1.NetworkPlugin(o.plugin)
	o.opts.Archs = o.archs
	for _, m := range o.mirrors {
		registry, prefix, ok := strings.Cut(m, "=")
		if !ok || registry == "" || prefix == "" {
			return action.Invalidf("--registry-mirror %s: write REGISTRY=PREFIX, such as docker.io=registry.example.com/hub", m)
		}
		if o.opts.Mirrors == nil {
			o.opts.Mirrors = map[string]string{}
		}
		o.opts.Mirrors[registry] = prefix
	}
	if err := o.addAddons(); err != nil {
		return err
	}
	if err := o.readSignKey(); err != nil {
		return err
	}
	if o.file != "" {
		c, _, err := cli.LoadCluster(o.file, o.In)
		if err != nil {
			return err
		}
		o.opts = bundles.WithClusterSources(o.opts, c)
	}
	if o.opts.NetworkPlugin == "" && o.opts.KubernetesVersion != "" {
		o.opts.NetworkPlugin = v1alpha1.NetworkPluginFlannel
	}
	return nil
}

// readSignKey reads the key before anything is downloaded. A passphrase is for the
// program to ask that has the key: `openssl pkey -in FILE | … --sign-key -`.
func (o *bundleCreateOptions) readSignKey() error {
	if o.signKey == "" {
		return nil
	}
	if o.signKey == "-" && o.file == "-" {
		return action.Invalidf("-f - and --sign-key - can't both read standard input")
	}
	data, err := bundles.ReadKey(o.signKey, o.In)
	if err == nil {
		o.opts.SignKey, err = bundle.SigningKey(data)
	}
	if err != nil {
		return action.Invalidf("--sign-key %s: %w", o.signKey, err)
	}
	return nil
}

// Validate refuses what is missing or unknown.
func (o *bundleCreateOptions) Validate() error {
	if o.opts.KubernetesVersion == "" {
		if len(o.opts.ExtraImages)+len(o.opts.Manifests)+len(o.opts.From)+len(o.addons) == 0 && o.opts.NetworkPlugin == "" && o.opts.LoadBalancer == "" {
			return action.Invalidf("say what is to go into it: a version with --kubernetes-version, a Cluster file with -f, " +
				"or images with --addons, --add-image, --from-manifest or --from")
		}
	} else if _, err := v1alpha1.MinorOf(o.opts.KubernetesVersion); err != nil {
		return action.Invalidf("--kubernetes-version: %w", err)
	}
	if o.opts.TrustMirror && o.opts.Mirror == "" && len(o.opts.Mirrors) == 0 {
		return action.Invalidf("--trust-mirror is for --mirror and --registry-mirror, and neither is given")
	}
	if o.opts.Output == "" {
		return action.Invalidf("name the file to write with --out")
	}
	switch o.opts.NetworkPlugin {
	case "", v1alpha1.NetworkPluginFlannel, v1alpha1.NetworkPluginManifest, v1alpha1.NetworkPluginNone:
	default:
		return action.Invalidf("--network-plugin %s is not known; use flannel, manifest or none", o.opts.NetworkPlugin)
	}
	switch o.opts.LoadBalancer {
	case "", v1alpha1.LoadBalancerHAProxy, v1alpha1.LoadBalancerNginx:
	default:
		return action.Invalidf("--load-balancer %s is not known; use %s or %s", o.opts.LoadBalancer, v1alpha1.LoadBalancerHAProxy, v1alpha1.LoadBalancerNginx)
	}
	for _, arch := range o.opts.Archs {
		if !slices.Contains(bundle.Archs(), arch) {
			return action.Invalidf("--arch %s is not known; use %s", arch, strings.Join(bundle.Archs(), " or "))
		}
	}
	return cli.CheckOutput(o.output)
}

// Run makes the bundle.
func (o *bundleCreateOptions) Run(ctx context.Context) error {
	p := cli.NewProgress(o.Out, o.output)
	contents, err := bundle.Create(ctx, o.opts, p)
	p.Close()
	if err != nil {
		return err
	}
	if o.output == cli.OutputJSON {
		return nil
	}
	return o.tell(contents)
}

// tell says what was not verified, and at the end what was made, with its digest.
func (o *bundleCreateOptions) tell(contents bundle.Contents) error {
	digest, err := contents.Digest()
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	// A tabwriter keeps its errors until Flush.
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }
	if err := printUnverified(t, "", contents, "\n"); err != nil {
		return err
	}
	line("%s", digest)
	line("%s: %s", o.opts.Output, summary(contents))
	if contents.Since != nil {
		line("%s", leftOut(contents, o.opts))
	}
	return t.Flush()
}

// leftOut says what is not in a difference, and how it is used nevertheless.
func leftOut(c bundle.Contents, opts bundle.CreateOptions) string {
	left := c.LeftOut()
	return fmt.Sprintf("%d blobs (%s) are left out, since %s has them; both are pushed together: %s images push %s --base %s",
		len(left), report.Size(bundle.SizeOf(left)), opts.Since, program.Name, opts.Output, opts.Since)
}

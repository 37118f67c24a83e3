package bundle

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	addons "github.com/kubectl-ha/kubectl-ha/pkg/action/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// createOptions say what goes into a bundle.
type createOptions struct {
	genericiooptions.IOStreams
	file, output string
	mirrors      []string
	plugin       string
	signKey      string
	opts         bundles.CreateOptions
}

func newCreate(streams genericiooptions.IOStreams) *cobra.Command {
	o := &createOptions{IOStreams: streams}
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

func (o *createOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	cli.AddOutFlag(c, o.IOStreams, &o.opts.Output, "the `file` to write")
	f.StringVarP(&o.file, "filename", "f", "", "take version and sources from this Cluster `file`; flags go before")
	f.StringVar(&o.opts.KubernetesVersion, "kubernetes-version", "", "the Kubernetes `version`, such as "+v1alpha1.DefaultKubernetesVersion)
	f.StringVar(&o.opts.EtcdVersion, "etcd-version", "", "the etcd `version` (default "+bundle.DefaultEtcdVersion+")")
	f.StringSliceVar(&o.opts.Archs, "arch", nil, "the hosts' `architectures`: amd64 (default), arm64, or both with a comma")
	f.StringVar(&o.plugin, "network-plugin", "", "the network `plugin` whose images are added: flannel (default), manifest or none")
	f.StringVar(&o.opts.LoadBalancer, "load-balancer", "", "the load balancer (`type`) whose image is added: haproxy or nginx")
	f.StringSliceVar(&o.opts.With, "addons", nil, "the `addons` whose images and manifests are added, such as dashboard,monitoring; all for every one;\na folder of your own may be among them")
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

// Complete reads what flags name.
func (o *createOptions) Complete() (err error) {
	o.opts.NetworkPlugin, o.opts.Catalogue = v1alpha1.NetworkPlugin(o.plugin), addons.Catalogue
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
	if o.signKey == "-" && o.file == "-" {
		return action.Invalidf("-f - and --sign-key - can't both read standard input")
	}
	// Before anything is downloaded.
	if o.signKey != "" {
		if o.opts.SignKey, err = bundles.SigningKey(o.signKey, o.In); err != nil {
			return err
		}
	}
	if o.file != "" {
		o.opts.Cluster, _, err = cli.LoadCluster(o.file, o.In)
	}
	return err
}

// Validate refuses what is not known.
func (o *createOptions) Validate() error { return cli.CheckOutput(o.output) }

// Run makes the bundle.
func (o *createOptions) Run(ctx context.Context) error {
	p := cli.NewProgress(o.Out, o.output)
	contents, err := bundles.Create(ctx, o.opts, p)
	p.Close()
	if err != nil || o.output == cli.OutputJSON {
		return err
	}
	return o.tell(contents)
}

// tell says what was not verified, and at the end what was made, with its digest.
func (o *createOptions) tell(contents bundle.Contents) error {
	digest, err := contents.Digest()
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	// A tabwriter keeps its errors until Flush.
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }
	if err := printUnverified(t, "", bundles.UnverifiedOf(contents), "\n"); err != nil {
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
func leftOut(c bundle.Contents, opts bundles.CreateOptions) string {
	left := c.LeftOut()
	return fmt.Sprintf("%d blobs (%s) are left out, since %s has them; both are pushed together: %s images push %s --base %s",
		len(left), report.Size(bundle.SizeOf(left)), opts.Since, program.Name, opts.Output, opts.Since)
}

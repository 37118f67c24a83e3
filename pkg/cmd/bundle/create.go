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
	file    string
	output  cli.Output
	mirrors []string
	plugin  string
	signKey string
	opts    bundles.CreateOptions
}

func newCreate(streams genericiooptions.IOStreams) *cobra.Command {
	o := &createOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "create --out FILE [--kubernetes-version V | -f CLUSTER] [IMAGES]",
		Short: "Download everything a version needs into one file",
		Long: cli.Paragraphs(
			"Downloads the images and host binaries of one Kubernetes version, verifies them, and writes them to one file. The same inputs give the same bytes. Run it again to resume an interrupted download. Without a version, the bundle holds images only.",
			"Everything in its default version is verified against digests built into this program. Kubernetes binaries and other etcd versions are verified against the checksum published at their source. Images are verified by the digest in their reference, or by their signature with --signature-policy. Everything else is listed as not verified, here and by `kubectl ha bundle inspect`. Use --trust-mirror for a mirror that serves its own builds.",
			"--from reads what `docker save`, podman, buildah, skopeo, nerdctl, kaniko and `cosign save` write: `docker save` archives, OCI archives and layouts (a bundle is one), and directories in skopeo's dir: format. An image keeps the name it has in the file, or gets the name REF with REF=PATH. These images take precedence over those of registries. PATH:@INDEX selects one image of the file, counted from 0. Use it to name the images of a file that was saved by image IDs.",
			"Registry credentials are read from --auth-file, or else from the files of podman, skopeo and docker: $REGISTRY_AUTH_FILE, containers/auth.json in $XDG_RUNTIME_DIR and ~/.config, ~/.docker/config.json. Credential helpers named there (credsStore, credHelpers) are run. If one fails, a warning is printed and public images are pulled without credentials."),
		Example: cli.Examples(`
			# For amd64 hosts, with flannel's images
			kubectl ha bundle create --kubernetes-version ` + v1alpha1.DefaultKubernetesVersion + ` --out bundle.tar

			# With version, registry, mirrors, network plugin and extra images of the Cluster file
			kubectl ha bundle create -f cluster.yaml --out bundle.tar

			# For two architectures, with the load balancer and images of your applications
			kubectl ha bundle create --kubernetes-version ` + v1alpha1.DefaultKubernetesVersion + ` --arch amd64,arm64 \
			  --load-balancer haproxy --from-manifest deploy/ --add-image quay.io/team/tool:v1 --out all.tar

			# Only images, from files
			kubectl ha bundle create --from saved.tar --from quay.io/team/app:v2=app-oci/ --out images.tar

			# Name the images of a file that was saved by image IDs
			kubectl ha bundle create --from app:v1=saved.tar:@0 --from db:v1=saved.tar:@1 --out images.tar

			# Only what an earlier bundle lacks
			kubectl ha bundle create --kubernetes-version ` + v1alpha1.DefaultKubernetesVersion + ` --since old.tar --out difference.tar

			# Sign the bundle
			openssl genpkey -algorithm ed25519 -out sign.key
			openssl pkey -in sign.key -pubout -out sign.pub
			kubectl ha bundle create -f cluster.yaml --sign-key sign.key --out bundle.tar

			# Use a mirror that serves upstream files and images under their original paths
			kubectl ha bundle create -f cluster.yaml --mirror https://mirror.example.com --out bundle.tar`),
		Args: cli.NoArgs,
		RunE: cli.InOrder(o),
	}
	o.addFlags(c)
	return c
}

func (o *createOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	cli.AddOutFlag(c, o.IOStreams, &o.opts.Output, "`file` to write")
	f.StringVarP(&o.file, "filename", "f", "", "take version and sources from this Cluster `file`; flags take precedence")
	f.StringVar(&o.opts.KubernetesVersion, "kubernetes-version", "", "Kubernetes `version`, such as "+v1alpha1.DefaultKubernetesVersion)
	f.StringVar(&o.opts.EtcdVersion, "etcd-version", "", "etcd `version` (default "+bundle.DefaultEtcdVersion+"; with --stacked-etcd, kubeadm's)")
	f.BoolVar(&o.opts.StackedEtcd, "stacked-etcd", false, "add kubeadm's etcd image instead of etcd's programs, for a cluster with stacked etcd")
	f.StringSliceVar(&o.opts.Archs, "arch", nil, "`architectures` of the hosts: amd64 (default), arm64, or amd64,arm64")
	f.StringVar(&o.plugin, "network-plugin", "", "add the images of this network `plugin`: flannel (default), manifest or none")
	f.StringVar(&o.opts.LoadBalancer, "load-balancer", "", "add the image of this load balancer (`type`): haproxy or nginx")
	f.StringSliceVar(&o.opts.With, "addons", nil, "`addons` whose images and manifests to add, such as dashboard,monitoring, or all;\nyour own addon folders are allowed too")
	f.StringArrayVar(&o.opts.ExtraImages, "add-image", nil, "image (`REF`) to add; can be repeated")
	f.StringArrayVar(&o.opts.Manifests, "from-manifest", nil, "add the images of all pods in this manifest, or in a directory of manifests\n(`PATH`); can be repeated")
	f.StringArrayVar(&o.opts.From, "from", nil, "take images from this file or directory (`[REF=]PATH[:@INDEX]`); can be repeated")
	f.StringVar(&o.opts.Since, "since", "", "leave out everything that this bundle (`file`) contains")
	f.StringVar(&o.opts.Mirror, "mirror", "", "base `URL` of a mirror that serves upstream files and images under their original paths")
	f.BoolVar(&o.opts.TrustMirror, "trust-mirror", false, cli.TrustMirrorUsage)
	f.StringArrayVar(&o.mirrors, "registry-mirror", nil, "pull the images of a registry from another place: `REGISTRY=PREFIX`; can be repeated")
	f.StringVar(&o.opts.Registry, "registry", "", "`registry` of the Kubernetes images (default "+bundle.KubernetesRegistry+")")
	f.StringVar(&o.opts.AuthFile, "auth-file", "", "`file` with registry credentials: containers-auth.json or docker config.json, including its credential helpers")
	f.StringVar(&o.opts.SignaturePolicy, "signature-policy", "", "containers-policy.json `file`; without it, digests are checked but no signatures")
	f.StringVar(&o.signKey, "sign-key", "", "sign the bundle with this private key (PEM `file`), Ed25519 or ECDSA P-256; - is standard input")
	cli.AddProgressOutput(c, &o.output)
}

// Complete reads what flags name.
func (o *createOptions) Complete() (err error) {
	o.opts.NetworkPlugin, o.opts.Catalogue = v1alpha1.NetworkPlugin(o.plugin), addons.Catalogue
	for _, m := range o.mirrors {
		registry, prefix, ok := strings.Cut(m, "=")
		if !ok || registry == "" || prefix == "" {
			return action.Invalidf("--registry-mirror %s: use REGISTRY=PREFIX, such as docker.io=registry.example.com/hub", m)
		}
		if o.opts.Mirrors == nil {
			o.opts.Mirrors = map[string]string{}
		}
		o.opts.Mirrors[registry] = prefix
	}
	if o.signKey == "-" && o.file == "-" {
		return action.Invalidf("-f - and --sign-key - cannot both read standard input")
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

// Validate has nothing to refuse.
func (o *createOptions) Validate() error { return nil }

// Run makes the bundle.
func (o *createOptions) Run(ctx context.Context) error {
	p := cli.NewProgress(o.Out, o.output)
	contents, err := bundles.Create(ctx, o.opts, p)
	p.Close()
	if err != nil || o.output.ForPrograms() {
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
	return fmt.Sprintf("%d blobs (%s) are left out because %s has them; push both together: %s images push %s --base %s",
		len(left), report.Size(bundle.SizeOf(left)), opts.Since, program.Name, opts.Output, opts.Since)
}

package cli

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/test/lab/build"
)

func newBuild(e *env) *cobra.Command {
	o := build.Options{Kubernetes: build.DefaultKubernetes(), Etcd: build.DefaultEtcd(), HostOS: []string{build.DefaultHostOS}}
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build all that a lab is made of, from source and Debian packages",
		Long: "Build all that a lab is made of: Kubernetes, etcd, containerd, runc, CNI plugins, CoreDNS, flannel, " +
			"a registry, images under upstream's names, and the hosts' root file system. What is in the cache " +
			"($LAB_CACHE, default ~/.cache/kubectl-ha-lab) is not built again. Installs what it needs with apt. " +
			"$LAB_EXTRA may name a folder with images/*.tar and files/<upstream host>/<path>, which the mirror then serves as well.",
		Example: "  lab build\n  lab build --kubernetes v1.35.4,v1.36.3 --etcd v3.5.35,v3.6.16\n  lab build --os debian-11,debian-12,debian-13\n" +
			"  lab build --only kubernetes,etcd,containerd",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Cache, o.Docker, o.Out = e.cache, e.docker, e.Err
			o.Extra = os.Getenv("LAB_EXTRA")
			return build.Build(cmd.Context(), o)
		},
	}
	cmd.Flags().StringSliceVar(&o.Kubernetes, "kubernetes", o.Kubernetes, "Kubernetes versions (those published as Go modules)")
	cmd.Flags().StringSliceVar(&o.Etcd, "etcd", o.Etcd, "etcd versions")
	cmd.Flags().StringSliceVar(&o.Only, "only", nil, "build these programs alone, and publish nothing: "+strings.Join(build.Programs(), ", "))
	cmd.Flags().StringSliceVar(&o.HostOS, "os", o.HostOS, "systems to make hosts' images of: "+strings.Join(build.HostOSes(), ", ")+
		" (lab up --os makes the one that it wants)")
	return cmd
}

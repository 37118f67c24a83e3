package cmd

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/adopt"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/agent"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/convert"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/look"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operation"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/restore"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/upgrade"
)

// verbs lists every command, in the order of the help.
func verbs(streams genericiooptions.IOStreams) []*cobra.Command {
	return []*cobra.Command{
		bootstrap.NewInit(streams),
		bootstrap.NewPreflight(streams),
		bootstrap.New(streams),
		bundle.New(streams),
		images.NewImages(streams),
		look.NewStatus(streams),
		look.NewDoctor(streams),
		look.NewSupportBundle(streams),
		adopt.New(streams),
		convert.New(streams),
		kubeconfig.New(streams),
		certs.New(streams),
		etcd.New(streams, restore.New(streams)),
		loadbalancer.New(streams),
		operation.New(streams),
		upgrade.New(streams),
		addon.New(streams),
		addon.NewDashboard(streams),
		node.New(streams),
		uninstall.New(streams),
		backup.New(streams),
		newCompletion(streams),
		cli.NewOptions(streams),
		newVersion(streams),
		agent.New(streams),
	}
}

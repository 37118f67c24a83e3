package cmd

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// verbs lists every command, in the order of the help.
func verbs(streams genericiooptions.IOStreams) []*cobra.Command {
	return []*cobra.Command{
		newInit(streams),
		newPreflight(streams),
		newBootstrap(streams),
		newBundle(streams),
		newImages(streams),
		newStatus(streams),
		newDoctor(streams),
		newSupportBundle(streams),
		newAdopt(streams),
		newKubeconfig(streams),
		newLoadBalancer(streams),
		newOperation(streams),
		newUpgrade(streams),
		newAddon(streams),
		newDashboard(streams),
		newNode(streams),
		newUninstall(streams),
		newBackup(streams),
		newCompletion(streams),
		newOptions(streams),
		newVersion(streams),
		newAgent(streams),
	}
}

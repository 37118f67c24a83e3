package cmd

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

func newCompletion(streams genericiooptions.IOStreams) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a shell completion script",
		Long: cli.Paragraphs(
			"Prints a script that completes the commands, flags and arguments of kubectl-ha in your shell.",
			"kubectl completes `kubectl ha` if it finds an executable named kubectl_complete-ha in the PATH; the release archive contains it."),
		Example: cli.Examples(`
			# For this shell only
			source <(kubectl ha completion bash)

			# For every zsh
			kubectl ha completion zsh > "${fpath[1]}/_kubectl-ha"`),
		ValidArgs: shells,
		Args:      cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return action.Invalidf("specify one shell: %v", shells)
			}
			root := c.Root()
			// The script must name the program as the shell finds it, not kubectl.
			root.Annotations = nil
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(streams.Out, true)
			case "zsh":
				return root.GenZshCompletion(streams.Out)
			case "fish":
				return root.GenFishCompletion(streams.Out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(streams.Out)
			}
			return action.Invalidf("unknown shell %q; use one of %v", args[0], shells)
		},
	}
}

package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/apihttp"
)

// NewAccess makes kubectl's flags that choose the cluster and the login, without
// the namespace: everything of ours is in a namespace of its own.
func NewAccess() *genericclioptions.ConfigFlags {
	flags := genericclioptions.NewConfigFlags(true)
	flags.Namespace = nil
	return flags
}

// RestConfig is the access that flags, environment and kubeconfig give. Unlike
// kubectl it does not try localhost:8080 when there is none.
func RestConfig(access *genericclioptions.ConfigFlags) (*rest.Config, error) {
	raw, err := access.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, action.As(action.Invalid, err)
	}
	if len(raw.Clusters) == 0 && *access.APIServer == "" && os.Getenv("KUBERNETES_SERVICE_HOST") == "" {
		return nil, action.Invalidf("no kubeconfig found: specify one with --kubeconfig or KUBECONFIG, or create one with `%s kubeconfig --vip -f %s`", program.Name, DefaultClusterFile)
	}
	config, err := access.ToRESTConfig()
	if err != nil {
		return nil, action.As(action.Invalid, err)
	}
	apihttp.LogBodies(config)
	apihttp.LimitRequests(config)
	return config, nil
}

// AccessFlag marks a flag that chooses the cluster and the login.
const AccessFlag = "kubectl-ha.dev/access"

// AddAccess adds the flags to a verb, marked so that its help leaves them to
// `kubectl ha options`.
func AddAccess(c *cobra.Command, access *genericclioptions.ConfigFlags) {
	for _, f := range AccessFlags(access) {
		c.PersistentFlags().AddFlag(f)
	}
}

// AccessFlags are the flags that choose the cluster and the login, each marked with AccessFlag.
func AccessFlags(access *genericclioptions.ConfigFlags) []*pflag.Flag {
	set := pflag.NewFlagSet("access", pflag.ContinueOnError)
	access.AddFlags(set)
	var out []*pflag.Flag
	set.VisitAll(func(f *pflag.Flag) {
		if f.Annotations == nil {
			f.Annotations = map[string][]string{}
		}
		f.Annotations[AccessFlag] = []string{"true"}
		out = append(out, f)
	})
	return out
}

// CommonFlags are the flags that the help of the commands leaves out.
func CommonFlags() *pflag.FlagSet {
	set := pflag.NewFlagSet("common", pflag.ContinueOnError)
	NewAccess().AddFlags(set)
	AddVerbosity(set, io.Discard)
	return set
}

// NewOptions is the command options.
func NewOptions(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "options",
		Short: "List the flags for access to the cluster",
		Args:  NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(streams.Out, "Every command that connects to a running cluster accepts these flags, like kubectl. Every command accepts -v.\n\n%s",
				CommonFlags().FlagUsagesWrapped(HelpWidth))
			return err
		},
	}
}

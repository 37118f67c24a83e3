package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/test/lab/clusterfile"
	"github.com/kubectl-ha/kubectl-ha/test/lab/fsdiff"
)

// outputFlag adds -o.
func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "", "json, or nothing for people")
}

// show prints a result as JSON or for people.
func (e *env) show(output string, value any, forPeople func() error) error {
	switch output {
	case "json":
		enc := json.NewEncoder(e.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(value)
	case "":
		return forPeople()
	}
	return fmt.Errorf("--output %q: only json is known", output)
}

func newStatus(e *env) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the lab's hosts, addresses and what was done to them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, l, err := e.lab(cmd)
			if err != nil {
				return err
			}
			s, err := m.Status(cmd.Context(), l)
			if err != nil {
				return err
			}
			return e.show(output, s, func() error { return s.Write(e.Out) })
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

func newDiff(e *env) *cobra.Command {
	var output string
	var all bool
	cmd := &cobra.Command{
		Use:   "diff HOST",
		Short: "Show what has changed on a host's file system since it was bare",
		Long: "Show what has changed on a host's file system since it was bare: A added, C changed, D deleted. What is " +
			"in memory (/run, /tmp) is not looked at, nor the journal and login records.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, l, err := e.lab(cmd)
			if err != nil {
				return err
			}
			changes, err := m.Diff(cmd.Context(), l, args[0])
			if err != nil {
				return err
			}
			if !all {
				changes = fsdiff.Fold(changes)
			}
			return e.show(output, changes, func() error { return fsdiff.Write(e.Out, changes) })
		},
	}
	outputFlag(cmd, &output)
	cmd.Flags().BoolVar(&all, "all", false, "list what is below added and deleted folders as well")
	return cmd
}

func newConfig(e *env) *cobra.Command {
	o := clusterfile.Options{User: "ops"}
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Print the Cluster file for the lab",
		Example: "  lab config --kubernetes-version v1.36.3 > cluster.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, l, err := e.lab(cmd)
			if err != nil {
				return err
			}
			s, err := m.Status(cmd.Context(), l)
			if err != nil {
				return err
			}
			if o.KubernetesVersion == "" {
				if o.KubernetesVersion, err = stableVersion(e.cache); err != nil {
					return err
				}
			}
			file, err := clusterfile.Make(s, o)
			if err != nil {
				return err
			}
			return e.print("%s", file)
		},
	}
	cmd.Flags().StringVar(&o.KubernetesVersion, "kubernetes-version", "", "version to run (default: the newest that was built)")
	cmd.Flags().StringVar(&o.EtcdVersion, "etcd-version", "", "etcd's version (default: the product's)")
	cmd.Flags().StringVar(&o.User, "user", o.User, "who logs in: ops (with sudo), root, or nosudo to see it fail")
	return cmd
}

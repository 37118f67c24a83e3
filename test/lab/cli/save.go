package cli

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/test/lab/host"
)

func newSave(e *env) *cobra.Command {
	var files string
	cmd := &cobra.Command{
		Use:   "save NAME",
		Short: "Freeze the lab with all that is on its hosts, for lab up --from NAME",
		Long: "Freeze the lab with all that is on its hosts, for lab up --from NAME. The hosts stop for some seconds and go on. " +
			fmt.Sprintf("The newest %d frozen labs are kept.", host.KeptSaves),
		Example: "  lab save three-masters --files ~/.local/state/kubectl-ha\n  lab down\n  lab up --from three-masters",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			begin := time.Now()
			m, l, err := e.lab(cmd)
			if err != nil {
				return err
			}
			if _, err := m.Save(cmd.Context(), l, args[0], files); err != nil {
				return err
			}
			e.say("lab %q is frozen as %q after %s", e.name, args[0], time.Since(begin).Round(100*time.Millisecond))
			return nil
		},
	}
	cmd.Flags().StringVar(&files, "files", "", "a folder of the workstation's to keep with it: certificate authorities, kubeconfig, Cluster file")
	return cmd
}

func newSaves(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "saves",
		Short: "List frozen labs, the newest first",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := host.Saves(e.cache)
			if err != nil {
				return err
			}
			t := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
			if _, err := fmt.Fprint(t, "NAME\tCREATED\tSUBNET\tCONTROL PLANES\tWORKERS\tETCD\n"); err != nil {
				return err
			}
			for _, s := range all {
				_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\n", s.Name, s.Created.Format(time.DateTime), host.Subnet(s.Lab.Index),
					s.Lab.Size.ControlPlanes, s.Lab.Size.Workers, s.Lab.Size.Etcd)
				if err != nil {
					return err
				}
			}
			return t.Flush()
		},
	}
}

func newForget(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "forget NAME",
		Short: "Remove a frozen lab",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := e.manager(cmd)
			if err != nil {
				return err
			}
			if _, err := host.LoadSave(e.cache, args[0]); err != nil {
				return err
			}
			return m.Forget(cmd.Context(), args[0])
		},
	}
}

package addon

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// addonUninstallOptions remove addons.
type addonUninstallOptions struct {
	AddonOptions
	names         []string
	deleteObjects bool
	dryRun        bool
	cli.WaitFlags
	yes bool
}

func newAddonUninstall(shared AddonOptions) *cobra.Command {
	o := &addonUninstallOptions{AddonOptions: shared}
	c := &cobra.Command{
		Use:   "uninstall NAME…",
		Short: "Remove addons with all that they made",
		Long: cli.Paragraphs(
			"Removes every object of the addons, and of those that only they have brought in. Where an addon defines resources, and there are objects of those that it did not make, nothing is removed without --delete-objects.",
			"Images stay in the nodes' stores; `kubectl ha images prune --unused` removes them."),
		Example: cli.Examples(`
			kubectl ha addon uninstall monitoring
			kubectl ha addon uninstall etcd-operator --delete-objects`),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return action.Invalidf("name an addon; %s addon status shows what is installed", program.Name)
			}
			o.names = args
			return o.Run(c.Context())
		},
	}
	o.addFlags(c)
	return c
}

func (o *addonUninstallOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&o.deleteObjects, "delete-objects", false, "also delete objects of the addon's resources that it did not make")
	cli.AddDryRun(f, &o.dryRun, "show what would be removed, and end")
	o.Add(f, "", "begin it, and leave")
	cli.AddYes(f, &o.yes, "")
	f.StringVarP(&o.Output, "output", "o", "", "text (default), or json: an event per line")
}

// Run shows what goes, asks, and has the cluster do it.
func (o *addonUninstallOptions) Run(ctx context.Context) error {
	if err := cli.CheckOutput(o.Output); err != nil {
		return err
	}
	if err := o.connect(ctx); err != nil {
		return err
	}
	var there []string
	for _, name := range o.names {
		if _, found := o.find(name); found {
			there = append(there, name)
		} else if _, err := fmt.Fprintf(o.ErrOut, "%s is not installed\n", name); err != nil {
			return err
		}
	}
	if len(there) == 0 {
		return nil
	}
	going := install.Dependents(o.installed, there...)
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationAddon, Addon: &v1alpha1.AddonSpec{Action: v1alpha1.AddonUninstall, DeleteObjects: o.deleteObjects}}
	for _, inv := range going {
		spec.Addon.Addons = append(spec.Addon.Addons, v1alpha1.AddonItem{Name: inv.Name, Version: inv.Version})
		_, users, err := install.Instances(ctx, o.clients, inv.Objects)
		if err != nil {
			return action.OfCluster(err)
		}
		if len(users) > 0 && !o.deleteObjects {
			return action.As(action.Findings, install.UsersError(inv.Name, users))
		}
	}
	nodes, err := o.clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return action.OfCluster(err)
	}
	if err := o.showPlan(spec, o.seen(nodes.Items)); err != nil || o.dryRun {
		return err
	}
	if !o.yes {
		if err := cli.Confirm(ctx, o.In, o.ErrOut, "Uninstall "+strings.Join(namesOf(going), ", ")+"?"); err != nil {
			return err
		}
	}
	return o.create(ctx, spec, nil, o.WaitFlags)
}

func namesOf(all []install.Inventory) []string {
	var out []string
	for _, inv := range all {
		out = append(out, inv.Name)
	}
	return slices.Compact(out)
}

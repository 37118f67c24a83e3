package addon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// addonListed is a line of `addon list`.
type addonListed struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	Installed   string   `json:"installed,omitempty"`
	Variants    []string `json:"variants,omitempty"`
	Description string   `json:"description"`
	Images      []string `json:"images,omitempty"`
}

func newAddonList(shared AddonOptions) *cobra.Command {
	o := &shared
	c := &cobra.Command{
		Use:   "list",
		Short: "List the addons that there are, and which are installed",
		Example: cli.Examples(`
			kubectl ha addon list
			kubectl ha addon list -o yaml`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cli.CheckOutput(o.Output, cli.OutputYAML); err != nil {
				return err
			}
			return o.list(c.Context())
		},
	}
	c.Flags().StringVarP(&o.Output, "output", "o", "", "text (default), json or yaml")
	return c
}

func (o *AddonOptions) list(ctx context.Context) error {
	all, err := addon.BuiltIn()
	if err != nil {
		return err
	}
	if err := o.connect(ctx); err != nil {
		// What there is does not depend on any cluster.
		if _, err := fmt.Fprintf(o.ErrOut, "what is installed is not known: %v\n", err); err != nil {
			return err
		}
	}
	var lines []addonListed
	for _, name := range all.Names() {
		a := all[name]
		l := addonListed{Name: name, Version: a.Descriptor.Version, Description: a.Descriptor.Description, Images: a.Images()}
		for v := range a.Descriptor.Variants {
			l.Variants = append(l.Variants, v)
		}
		slices.Sort(l.Variants)
		if inv, there := o.find(name); there {
			l.Installed = inv.Version
		}
		lines = append(lines, l)
	}
	for _, inv := range o.installed {
		if all[inv.Name] == nil {
			lines = append(lines, addonListed{Name: inv.Name, Version: "-", Installed: inv.Version, Description: "your own"})
		}
	}
	if o.Output != "" && o.Output != cli.OutputText {
		return o.document(lines)
	}
	t := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tVERSION\tINSTALLED\tWHAT IT IS")
	for _, l := range lines {
		installed := l.Installed
		if installed == "" {
			installed = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.Name, l.Version, installed, l.Description)
	}
	return t.Flush()
}

// document prints a value for programs.
func (o *AddonOptions) document(v any) error {
	if o.Output == cli.OutputJSON {
		return cli.WriteJSONLine(o.Out, v)
	}
	data, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	_, err = o.Out.Write(data)
	return err
}

// addonState is an addon in `addon status`.
type addonState struct {
	Name     string        `json:"name"`
	Version  string        `json:"version"`
	Variants []string      `json:"variants,omitempty"`
	For      string        `json:"for,omitempty"`
	State    install.State `json:"state"`
	Healthy  bool          `json:"healthy"`
	// Lacks says what keeps it from being healthy.
	Lacks   []string         `json:"lacks,omitempty"`
	Objects []install.Object `json:"objects"`
}

func newAddonStatus(shared AddonOptions) *cobra.Command {
	o := &shared
	c := &cobra.Command{
		Use:   "status [NAME…]",
		Short: "Show what is installed, and whether it is well",
		Long: cli.Paragraphs(
			fmt.Sprintf("Shows the installed addons and what they lack to be well. The exit code is %d when any is not well.", cli.ExitFindings)),
		Example: cli.Examples(`
			kubectl ha addon status
			kubectl ha addon status monitoring -o yaml`),
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.CheckOutput(o.Output, cli.OutputYAML); err != nil {
				return err
			}
			return o.status(c.Context(), args)
		},
	}
	c.Flags().StringVarP(&o.Output, "output", "o", "", "text (default), json or yaml")
	return c
}

func (o *AddonOptions) status(ctx context.Context, names []string) error {
	if err := o.connect(ctx); err != nil {
		return err
	}
	for _, n := range names {
		if _, there := o.find(n); !there {
			return action.Invalidf("%s is not installed", n)
		}
	}
	states := []addonState{}
	var sick []string
	for _, inv := range o.installed {
		if len(names) > 0 && !slices.Contains(names, inv.Name) {
			continue
		}
		lacks, err := install.Unhealthy(ctx, o.clients, &inv)
		if err != nil {
			return action.OfCluster(err)
		}
		s := addonState{Name: inv.Name, Version: inv.Version, Variants: inv.Variants, For: inv.For, State: inv.State,
			Healthy: len(lacks) == 0 && inv.State == install.Installed, Lacks: lacks, Objects: inv.Objects}
		if !s.Healthy {
			sick = append(sick, s.Name)
		}
		states = append(states, s)
	}
	if err := o.printStates(states); err != nil {
		return err
	}
	if len(sick) > 0 {
		return action.As(action.Findings, fmt.Errorf("not well: %s", strings.Join(sick, ", ")))
	}
	return nil
}

func (o *AddonOptions) printStates(states []addonState) error {
	if o.Output != "" && o.Output != cli.OutputText {
		return o.document(states)
	}
	if len(states) == 0 {
		_, err := fmt.Fprintf(o.Out, "No addon is installed; %s addon list shows what there is.\n", program.Name)
		return err
	}
	t := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tVERSION\tSTATE\tWELL\tFOR\tVARIANTS")
	for _, s := range states {
		well, by := "yes", s.For
		if !s.Healthy {
			well = "no"
		}
		if by == "" {
			by = "-"
		}
		variants := strings.Join(s.Variants, ",")
		if variants == "" {
			variants = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.Version, s.State, well, by, variants)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range states {
		for _, l := range s.Lacks {
			if _, err := fmt.Fprintf(o.Out, "%s: %s\n", s.Name, l); err != nil {
				return err
			}
		}
	}
	return nil
}

package bootstrap

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/clusterfile"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// initOptions writes a Cluster file.
type initOptions struct {
	genericiooptions.IOStreams
	file          string
	inventory     string
	force         bool
	name          string
	version       string
	virtualIP     string
	controlPlanes []string
	workers       []string
	etcd          []string

	params v1alpha1.TemplateParams
	// document is the file's content, unless it comes from an inventory.
	document []byte
}

// NewInit is the command init.
func NewInit(streams genericiooptions.IOStreams) *cobra.Command {
	o := &initOptions{IOStreams: streams, file: cli.DefaultClusterFile}
	c := &cobra.Command{
		Use:     "init [--out FILE]",
		Short:   "Write a commented Cluster file",
		GroupID: cli.GroupCluster,
		Long: cli.Paragraphs(
			"Writes a Cluster file that lists and explains every setting. Fill in the version, the virtual IP and the hosts, or let the flags below do so.",
			"--from-inventory converts a kubeadm2ha inventory (INI or YAML), including the group_vars and host_vars folders next to it. The files are read by Ansible's rules. The output lists the settings without a counterpart and the files that were not read. Not read are: variable folders next to playbooks elsewhere, encrypted files, and values that a program computes."),
		Example: cli.Examples(`
			# Write an example to edit
			kubectl ha init

			# Convert a kubeadm2ha inventory with its group_vars and host_vars
			kubectl ha init --from-inventory my-cluster.inventory

			# Write a complete file
			kubectl ha init --virtual-ip 192.0.2.10 --control-plane cp1=192.0.2.11 \
			    --control-plane cp2=192.0.2.12 --control-plane cp3=192.0.2.13 --worker w1=192.0.2.21`),
		Args: cli.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := o.Complete(); err != nil {
				return err
			}
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run()
		},
	}
	f := c.Flags()
	cli.AddOutFlag(c, streams, &o.file, "`file` to write; - is standard output")
	f.BoolVar(&o.force, "force", false, "overwrite an existing file")
	f.StringVar(&o.inventory, "from-inventory", "", "kubeadm2ha inventory `file` (Ansible) to convert")
	f.StringVar(&o.name, "name", "", "cluster name (default: generated, such as ha-x7k2p)")
	f.StringVar(&o.version, "kubernetes-version", "", "Kubernetes version (default "+v1alpha1.DefaultKubernetesVersion+")")
	f.StringVar(&o.virtualIP, "virtual-ip", "", "address of the API: an unused one in the subnet of the control plane nodes")
	f.StringArrayVar(&o.controlPlanes, "control-plane", nil, "control plane node, as `NAME=ADDRESS`; can be repeated")
	f.StringArrayVar(&o.workers, "worker", nil, "worker node, as `NAME=ADDRESS`; can be repeated")
	f.StringArrayVar(&o.etcd, "etcd", nil, "dedicated etcd host, as `NAME=ADDRESS`; can be repeated")
	return c
}

// Complete turns the flags into the template's parameters.
func (o *initOptions) Complete() error {
	o.params = v1alpha1.TemplateParams{Name: o.name, KubernetesVersion: o.version, VirtualIP: o.virtualIP}
	if o.file != "-" {
		o.params.File = o.file
	}
	for _, kind := range []struct {
		flag  string
		given []string
		role  v1alpha1.Role
	}{
		{"control-plane", o.controlPlanes, v1alpha1.RoleControlPlane},
		{"etcd", o.etcd, v1alpha1.RoleEtcd},
		{"worker", o.workers, v1alpha1.RoleWorker},
	} {
		for _, g := range kind.given {
			name, address, ok := strings.Cut(g, "=")
			if _, err := netip.ParseAddr(address); !ok || name == "" || err != nil {
				return action.Invalidf("--%s %s: use NAME=ADDRESS, such as cp1=192.0.2.11", kind.flag, g)
			}
			o.params.Hosts = append(o.params.Hosts, v1alpha1.Host{Name: name, Address: address, Roles: []v1alpha1.Role{kind.role}})
		}
	}
	return nil
}

// Validate makes the document, and refuses what would make one that is not valid.
func (o *initOptions) Validate() (err error) {
	if o.inventory == "" {
		o.document, err = clusterfile.New(o.params)
		return err
	}
	if o.name+o.version+o.virtualIP != "" || len(o.params.Hosts) > 0 {
		return action.Invalidf("--from-inventory takes all values from the inventory; edit the file it writes instead of adding flags")
	}
	return nil
}

// Run writes the file.
func (o *initOptions) Run() error {
	if o.inventory != "" {
		return o.runFromInventory()
	}
	if err := o.write(o.document); err != nil || o.file == "-" {
		return err
	}
	what := "Edit it (version, virtual IP, hosts), then check the hosts:"
	if len(o.params.Hosts) > 0 && o.virtualIP != "" {
		what = "Next, check the hosts; nothing is changed:"
	}
	_, err := fmt.Fprintf(o.Out, "%s written. %s\n  %s preflight -f %s\n", o.file, what, program.Name, o.file)
	return err
}

// write writes the file, or to standard output.
func (o *initOptions) write(content []byte) error {
	if o.file == "-" {
		_, err := o.Out.Write(content)
		return err
	}
	return cli.WriteNew(o.file, content, 0o644, o.force)
}

package bootstrap

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/clusterfile"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// runFromInventory writes the Cluster file that an Ansible inventory of
// kubeadm2ha's becomes, and tells what has no place in it.
func (o *initOptions) runFromInventory() error {
	data, err := cli.ReadFile(o.inventory, o.In)
	if err != nil {
		return err
	}
	c, err := clusterfile.OfInventory(clusterfile.InventoryOptions{Data: data, Name: filepath.Base(o.inventory),
		Folder: os.DirFS(filepath.Dir(o.inventory)), File: o.file})
	if err != nil {
		return err
	}
	if err := o.write(c.Content); err != nil {
		return err
	}
	return o.tell(c)
}

// tell prints what a person must know or do, beside the file.
func (o *initOptions) tell(c clusterfile.Conversion) error {
	var b strings.Builder
	b.WriteString(c.Told)
	for _, w := range c.Warnings {
		fmt.Fprintf(&b, "Note: %s\n", w)
	}
	if c.Incomplete != nil {
		fmt.Fprintf(&b, "\n%s written. It is not complete yet:\n  %s\n", o.file, strings.ReplaceAll(c.Incomplete.Error(), "\n", "\n  "))
	} else {
		fmt.Fprintf(&b, "\n%s written. Next, check the hosts; nothing is changed:\n  %s preflight -f %s\n", o.file, program.Name, o.file)
	}
	_, err := fmt.Fprint(o.ErrOut, b.String())
	return err
}

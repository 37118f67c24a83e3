package clusterfile

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/inventory"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// InventoryOptions name an Ansible inventory of kubeadm2ha's.
type InventoryOptions struct {
	// Data is the inventory, and Name its file's, without a folder.
	Data []byte
	Name string
	// Folder is where it is, with its group_vars and host_vars.
	Folder fs.FS
	// File is what messages call the Cluster file.
	File string
}

// Conversion is a Cluster file that an inventory became.
type Conversion struct {
	// Content is the file's; what was decided, and what has no place in it, is told in its head.
	Content []byte
	// Told is the same for people, a line each.
	Told string
	// Warnings are those of the file.
	Warnings []v1alpha1.FieldWarning
	// Incomplete is what it lacks, or has that is not right; nil when it can be used as it is.
	Incomplete error
}

// OfInventory converts an inventory.
func OfInventory(o InventoryOptions) (Conversion, error) {
	result, err := inventory.Convert(o.Data, o.Name, o.Folder)
	if err != nil {
		return Conversion{}, action.As(action.Invalid, err)
	}
	document, err := v1alpha1.Marshal(result.Cluster)
	if err != nil {
		return Conversion{}, err
	}
	c := Conversion{Told: told(result)}
	c.Content = []byte(commented(fmt.Sprintf("Created from %s by `%s init --from-inventory`.\n\n%s", o.Name, program.Name, c.Told)) + string(document))
	_, c.Warnings, c.Incomplete = v1alpha1.Load(c.Content, o.File)
	return c, nil
}

// told is what was decided, and what has no place in the Cluster file.
func told(r inventory.Result) string {
	var b strings.Builder
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "Note: %s\n", n)
	}
	if len(r.Unmapped) > 0 {
		b.WriteString("Without a counterpart:\n")
	}
	for _, s := range r.Unmapped {
		fmt.Fprintf(&b, "  %s (%s): %s\n", s.Name, s.Where, s.Why)
	}
	return b.String()
}

// commented makes a text a YAML comment.
func commented(text string) string {
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		b.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
	return b.String()
}

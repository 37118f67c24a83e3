package bootstrap

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/inventory"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// runFromInventory writes the Cluster file that an Ansible inventory of
// kubeadm2ha's becomes, and tells what has no place in it.
func (o *initOptions) runFromInventory() error {
	data, err := cli.ReadFile(o.inventory, o.In)
	if err != nil {
		return err
	}
	result, err := inventory.Convert(data, filepath.Base(o.inventory), os.DirFS(filepath.Dir(o.inventory)))
	if err != nil {
		return action.As(action.Invalid, err)
	}
	document, err := v1alpha1.Marshal(result.Cluster)
	if err != nil {
		return err
	}
	told := conversion(result)
	text := commented(fmt.Sprintf("Made of %s by `%s init --from-inventory`.\n\n%s", filepath.Base(o.inventory), program.Name, told)) + string(document)
	_, warnings, wrong := v1alpha1.Load([]byte(text), o.file)
	if o.file == "-" {
		_, err = o.Out.Write([]byte(text))
	} else {
		err = cli.WriteNew(o.file, []byte(text), 0o644, o.force)
	}
	if err != nil {
		return err
	}
	return o.tellConversion(told, warnings, wrong)
}

// tellConversion prints what a person must know or do, beside the file.
func (o *initOptions) tellConversion(told string, warnings []v1alpha1.FieldWarning, wrong error) error {
	var b strings.Builder
	b.WriteString(told)
	for _, w := range warnings {
		fmt.Fprintf(&b, "Note: %s\n", w)
	}
	switch {
	case wrong != nil:
		fmt.Fprintf(&b, "\n%s written. It is not complete yet:\n  %s\n", o.file, strings.ReplaceAll(wrong.Error(), "\n", "\n  "))
	default:
		fmt.Fprintf(&b, "\n%s written. Look at the hosts next; nothing is changed:\n  %s preflight -f %s\n", o.file, program.Name, o.file)
	}
	_, err := fmt.Fprint(o.ErrOut, b.String())
	return err
}

// conversion tells what was decided, and what has no place in the Cluster file.
func conversion(r inventory.Result) string {
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

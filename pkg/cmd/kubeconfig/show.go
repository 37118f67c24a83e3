package kubeconfig

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/access"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
)

// tell says where the kubeconfig is, whose it is, and what to do with it. It goes beside the
// kubeconfig itself where that is the output.
func (o *options) tell(r access.IssueResult) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\ncontext %s at %s, %s; it %s\n", where(r), r.Config.CurrentContext, r.Server, r.Identity, cli.Expiry(r.Expires))
	if r.Far {
		fmt.Fprintf(&b, "This machine cannot reach %s; the kubeconfig was tested from a control plane node.\n", r.Server)
	}
	if _, err := exec.LookPath(kubeconfig.ExecProgram); o.Exec && err != nil {
		fmt.Fprintf(&b, "It does not work yet: kubectl needs the program %s in the PATH, but it is not there.\n", kubeconfig.ExecProgram)
	}
	if !r.Admin {
		fmt.Fprintf(&b, "Its permissions are the roles bound to it. For example:\n  kubectl create rolebinding %s-view --clusterrole view %s -n NAMESPACE\n", o.User, o.subject())
	}
	if r.File != "" {
		path, err := filepath.Abs(r.File)
		if err != nil {
			// Only a hint, which a relative path serves as well.
			path = r.File
		}
		fmt.Fprintf(&b, "\n  export KUBECONFIG=%s\n  kubectl get nodes\n", path)
	}
	w := o.Out
	if o.NoFile {
		w = o.ErrOut
	}
	_, err := fmt.Fprint(w, b.String())
	return err
}

// where says where the kubeconfig went.
func where(r access.IssueResult) string {
	if r.Merged == nil && r.File == "" {
		return "written to standard output"
	}
	if r.Merged == nil {
		return r.File + " written"
	}
	text := "merged into " + r.Merged.File
	for _, b := range r.Merged.Backups {
		text += "; previous file: " + b
	}
	if len(r.Merged.Kept) > 0 {
		text += "\nkept from the previous file: " + strings.Join(r.Merged.Kept, "; ")
	}
	return text
}

// subject is the flag of kubectl create rolebinding for who the kubeconfig is for.
func (o *options) subject() string {
	if len(o.Groups) > 0 {
		return "--group " + o.Groups[0]
	}
	return "--user " + o.User
}

package node

import (
	joining "github.com/kubectl-ha/kubectl-ha/pkg/action/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"

	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/template"
	"time"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// refuseReadable refuses to print secrets to a file that others than its owner may read. What is no
// file (a terminal, a pipe) is the user's to know; Windows has no such modes.
func refuseReadable(w io.Writer) error {
	f, ok := w.(*os.File)
	if !ok || runtime.GOOS == "windows" {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at where the script is printed to: %w", err)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return action.Invalidf("the script holds secrets, and others than you may read the file that it would be printed to (mode %04o); make it anew with (umask 077; … > FILE), or chmod 600 it first", info.Mode().Perm())
	}
	return nil
}

// printScript prints a script that does on the host what is otherwise done over SSH.
func (o *nodeAddOptions) printScript(ctx context.Context, p *operate.Plan) error {
	if bad := nodes.Blocking(p.Findings); len(bad) > 0 {
		return action.As(action.Findings, &nodes.Refused{Findings: bad})
	}
	if err := refuseReadable(o.Out); err != nil {
		return err
	}
	h, _ := o.merged.Host(o.names[0])
	document, err := v1alpha1.Marshal(o.merged)
	if err != nil {
		return err
	}
	e := joining.Enrolment{Host: h.Name, Cluster: string(document), AgentImage: o.image}
	if h.Has(v1alpha1.RoleEtcd) {
		files, err := bootstrap.SignMember(ctx, o.state, o.merged.Metadata.Name, h)
		if err != nil {
			return fmt.Errorf("%w: a new etcd member needs certificates by it; run this where the cluster was made", err)
		}
		e.Member = &files
	}
	if e.Token, e.CAHash, err = discovery(o.Clients)(ctx); err != nil {
		return action.OfCluster(err)
	}
	// Whoever names the bundle here gets it there, or nothing.
	digest := ""
	if o.supply.Bundle != nil {
		digest = o.supply.Bundle.Digest().String()
	}
	request, err := json.Marshal(e)
	if err != nil {
		return err
	}
	t, err := template.ParseFS(manifests.FS, manifests.EnrolScript)
	if err != nil {
		return err
	}
	err = t.Execute(o.Out, map[string]string{"Host": h.Name, "Cluster": o.merged.Metadata.Name, "Display": program.Name, "File": o.file,
		"Until": time.Now().Add(bootstrap.TokenLife).UTC().Format(time.RFC3339), "Request": string(request), "Digest": digest})
	if err != nil {
		return err
	}
	if f, tty := cli.Terminal(o.Out); tty && f == os.Stdout {
		return nil
	}
	_, err = fmt.Fprintf(o.ErrOut, "The script holds secrets. Run it on %s as root, beside the Linux program and the bundle, before %s; then: %s node add %s -f %s --enrolled\n",
		h.Name, time.Now().Add(bootstrap.TokenLife).Local().Format("15:04"), program.Name, h.Name, o.file)
	return err
}

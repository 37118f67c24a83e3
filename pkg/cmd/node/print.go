package node

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
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
func (o *addOptions) printScript(ctx context.Context) error {
	if err := refuseReadable(o.Out); err != nil {
		return err
	}
	s, err := nodes.NewScript(ctx, o.hosts)
	if err != nil {
		return err
	}
	if _, err := o.Out.Write(s.Text); err != nil {
		return err
	}
	if f, tty := cli.Terminal(o.Out); tty && f == os.Stdout {
		return nil
	}
	_, err = fmt.Fprintf(o.ErrOut, "The script holds secrets. Run it on %s as root, beside the Linux program and the bundle, before %s; then: %s node add %s -f %s --enrolled\n",
		s.Host, s.Until.Local().Format("15:04"), program.Name, s.Host, o.hosts.File)
	return err
}

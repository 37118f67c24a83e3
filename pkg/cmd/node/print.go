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
		return fmt.Errorf("check the file the script is written to: %w", err)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return action.Invalidf("the script contains secrets, but others can read the output file (mode %04o); use (umask 077; … > FILE), or run chmod 600 on it first", info.Mode().Perm())
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
	_, err = fmt.Fprintf(o.ErrOut, "The script contains secrets. Run it on %s as root before %s, with the Linux program and the bundle in the same folder. Then run: %s node add %s -f %s --joined\n",
		s.Host, s.Until.Local().Format("15:04"), program.Name, s.Host, o.hosts.File)
	return err
}

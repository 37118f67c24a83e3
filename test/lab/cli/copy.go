package cli

import (
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// remote is one side of a copy: HOST:PATH.
type remote struct{ host, path string }

// parseRemote splits HOST:PATH. A name with a slash before the colon is a local file.
func parseRemote(arg string) (remote, bool) {
	host, path, ok := strings.Cut(arg, ":")
	if !ok || strings.Contains(host, "/") {
		return remote{}, false
	}
	return remote{host, path}, true
}

func newCopy(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "cp SRC HOST:DST | HOST:SRC DST",
		Short:   "Copy a file or folder to or from a host, past its network",
		Long:    "Copy a file or folder to or from a host, past its network. A DST that ends in / is the folder to put it into, else its new name. What is copied to a host belongs to root there.",
		Example: "  lab cp bundle.tar cp1:/root/\n  lab cp cp1:/etc/kubernetes/admin.conf .",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, l, err := e.lab(cmd)
			if err != nil {
				return err
			}
			src, fromHost := parseRemote(args[0])
			dst, toHost := parseRemote(args[1])
			if fromHost == toHost {
				return errors.New("one of SRC and DST is HOST:PATH, the other a local path")
			}
			side := dst
			if fromHost {
				side = src
			}
			if !path.IsAbs(side.path) {
				return fmt.Errorf("%s:%s is not an absolute path", side.host, side.path)
			}
			container, err := l.Container(side.host)
			if err != nil {
				return err
			}
			inside := []string{"docker", "exec", "--interactive", container}
			if toHost {
				folder, name := split(dst.path, args[0])
				return copyTar(cmd, nil, filepath.Clean(args[0]), name, inside, folder)
			}
			folder, name := split(args[1], src.path)
			return copyTar(cmd, inside, path.Clean(src.path), name, nil, folder)
		},
	}
}

// split tells the folder and the name of a copy's target.
func split(target, source string) (folder, name string) {
	if strings.HasSuffix(target, "/") || target == "." || target == ".." {
		return target, filepath.Base(source)
	}
	return filepath.Dir(target), filepath.Base(target)
}

// copyTar packs src with tar and unpacks it in folder under name. Docker's own
// copy does not see what a host has mounted, such as /tmp and /run.
func copyTar(cmd *cobra.Command, srcPrefix []string, src, name string, dstPrefix []string, folder string) error {
	ctx := cmd.Context()
	base := filepath.Base(src)
	pack := append(append([]string{}, srcPrefix...), "tar", "--create", "--file=-", "--directory="+filepath.Dir(src),
		"--transform=flags=rSH;s,^"+quote(base, `\,.*[]^$`)+","+quote(name, `\,&`)+",", "--", base)
	unpack := append(append([]string{}, dstPrefix...), "tar", "--extract", "--file=-", "--no-same-owner", "--directory="+folder)
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		_, err := run.Output(ctx, run.Cmd{Argv: pack, Stdout: w})
		// The reader gets the packer's failure as its end of input.
		packed <- errors.Join(err, w.CloseWithError(err))
	}()
	_, err := run.Output(ctx, run.Cmd{Argv: unpack, Stdin: r})
	// Whoever failed first tells the cause; the other one only saw the pipe break.
	closeErr := r.CloseWithError(io.ErrClosedPipe)
	if packErr := <-packed; packErr != nil && !errors.Is(packErr, io.ErrClosedPipe) {
		return packErr
	}
	return errors.Join(err, closeErr)
}

// quote keeps the special characters of sed's expressions in a name from meaning anything.
func quote(name, special string) string {
	var b strings.Builder
	for _, r := range name {
		if strings.ContainsRune(special, r) {
			b.WriteRune('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
	"github.com/kubectl-ha/kubectl-ha/test/lab/host"
	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// Streams are the program's input and outputs.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// env is what every verb needs.
type env struct {
	Streams
	cache  cache.Dir
	docker docker.Client
	// name is the lab's name.
	name string
}

// Main runs the program and returns its exit code: 0, 1 for an error of the
// lab's, or what the program started by exec, ssh or kubectl returned.
func Main(ctx context.Context, streams Streams, args []string) int {
	e := &env{Streams: streams}
	root := newRoot(e)
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var passed *passedOn
	if errors.As(err, &passed) {
		return passed.code
	}
	// There is nowhere left to report to when this fails.
	_, _ = fmt.Fprintf(streams.Err, "lab: %v\n", err)
	return 1
}

// passedOn is the exit code of a program that spoke for itself.
type passedOn struct{ code int }

// Error is for completeness; Main does not print it.
func (p *passedOn) Error() string { return fmt.Sprintf("exit code %d", p.code) }

// passOn turns the failure of a program on the user's own streams into its exit code.
func passOn(err error) error {
	if code, ok := run.ExitCode(err); ok && code != 0 {
		return &passedOn{code: code}
	}
	return err
}

// newRoot puts the verbs together.
func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:           "lab",
		Short:         "Bare Linux hosts on one machine, to build real clusters on",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			dir, err := cacheDir()
			e.cache = dir
			if err == nil {
				err = host.ValidateName(e.name)
			}
			return err
		},
	}
	root.PersistentFlags().StringVar(&e.name, "name", "lab", "which lab; several live side by side")
	root.AddCommand(
		newBuild(e), newUp(e), newDown(e), newClean(e), newStatus(e), newConfig(e),
		newExec(e), newSSH(e), newKubectl(e), newCopy(e), newLogs(e), newDiff(e),
		newPartition(e), newHeal(e), newShape(e), newSave(e), newSaves(e), newForget(e),
		newMirror(e), newManifest(e), newCopyVolumes(e),
	)
	root.AddCommand(newPowerVerbs(e)...)
	return root
}

// cacheDir is $LAB_CACHE or its default.
func cacheDir() (cache.Dir, error) {
	dir := os.Getenv("LAB_CACHE")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("set LAB_CACHE: %w", err)
		}
		dir = filepath.Join(home, ".cache", "kubectl-ha-lab")
	}
	dir, err := filepath.Abs(dir)
	return cache.Dir(dir), err
}

// say prints a line of progress.
func (e *env) say(format string, args ...any) {
	// Progress that can't be written must not stop the work.
	_, _ = fmt.Fprintf(e.Err, format+"\n", args...)
}

// print writes a result.
func (e *env) print(format string, args ...any) error {
	_, err := fmt.Fprintf(e.Out, format, args...)
	return err
}

package cmd

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

// run runs a command line without any terminal.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	// Never nil, for which cobra would take the test's own arguments.
	return runIn(t, "", append([]string{}, args...)...)
}

func runIn(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: &out, ErrOut: &errOut}
	code = Main(context.Background(), streams, args)
	return code, out.String(), errOut.String()
}

// commands are all commands of the tree, the hidden ones as well.
func commands(c *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.Name() != "no-help" {
			out = append(out, commands(sub)...)
		}
	}
	return out
}

func TestRootHelp(t *testing.T) {
	code, out, errOut := run(t, "--help")
	if code != cli.ExitOK || errOut != "" {
		t.Errorf("exit code %d, %q", code, errOut)
	}
	golden.Compare(t, "help.txt", out)
	if _, bare, _ := run(t); bare != out {
		t.Error("without an argument there is no help")
	}
}

func TestEveryHelp(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	for _, c := range commands(NewRoot(streams)) {
		// The first two words are the program.
		args := append(strings.Fields(c.CommandPath())[2:], "--help")
		code, out, errOut := run(t, args...)
		if code != cli.ExitOK || errOut != "" {
			t.Errorf("%s: exit code %d, %q", c.CommandPath(), code, errOut)
		}
		for _, line := range strings.Split(out, "\n") {
			if n := len([]rune(line)); n > cli.HelpWidth {
				t.Errorf("%s: a line of %d characters: %s", c.CommandPath(), n, line)
			}
		}
		if c.Short == "" {
			t.Errorf("%s has no short help", c.CommandPath())
		}
		hidden := c.Name() == "agent" || c.HasParent() && c.Parent().Name() == "agent"
		if c.Example == "" && !hidden && c.Name() != "options" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		if strings.Contains(out, "help for ") || strings.Contains(out, "kubectl-ha-") {
			t.Errorf("%s: %s", c.CommandPath(), out)
		}
	}
}

func TestMistakesInTheCommandLine(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"bootstarp"}, `did you mean "bootstrap"?`},
		{[]string{"operation", "wathc"}, `did you mean "watch"?`},
		{[]string{"bundle", "frobnicate"}, `unknown command "frobnicate" for "kubectl ha bundle"`},
		{[]string{"bootstrap", "--dryrun"}, "did you mean --dry-run?"},
		{[]string{"bootstrap", "--nothing-like-it"}, "--help"},
		{[]string{"version", "extra"}, `takes no arguments, but got "extra"`},
		{[]string{"version", "-o", "xml"}, `unable to match a printer suitable for the output format "xml", allowed formats are: go-template, `},
		{[]string{"preflight"}, "no Cluster file"},
		{[]string{"preflight", "-f", "nowhere.yaml"}, "nowhere.yaml"},
		{[]string{"preflight", "--ssh-host-key", "no"}, "use strict or accept-new"},
		{[]string{"bundle", "create"}, "--kubernetes-version"},
		{[]string{"bundle", "create", "--kubernetes-version", "v1.10.0", "--out", "x"}, "not supported"},
		{[]string{"bundle", "create", "--kubernetes-version", "v1.36.3"}, "--out"},
		{[]string{"bundle", "create", "--kubernetes-version", "v1.36.3", "--out", "x", "--network-plugin", "calico"}, "unknown value --network-plugin calico"},
		{[]string{"bundle", "create", "--kubernetes-version", "v1.36.3", "--out", "x", "--registry-mirror", "docker.io"}, "REGISTRY=PREFIX"},
		{[]string{"bundle", "inspect"}, "specify the bundle's file"},
		{[]string{"bundle", "inspect", "nowhere.tar"}, "nowhere.tar"},
		{[]string{"bundle", "verify", "nowhere.tar"}, "nowhere.tar"},
		{[]string{"init", "--control-plane", "cp1"}, "NAME=ADDRESS"},
		{[]string{"init", "--worker", "w1=192.0.2.1"}, "--control-plane"},
		{[]string{"init", "--virtual-ip", "nonsense"}, "virtualIP"},
		{[]string{"kubeconfig"}, "--vip"},
		{[]string{"kubeconfig", "--vip", "--merge", "--out", "x"}, "mutually exclusive"},
		{[]string{"kubeconfig", "--vip", "--duration", "1s"}, "--duration"},
		{[]string{"kubeconfig", "--vip", "--kubeconfig", "nowhere"}, "nowhere"},
		{[]string{"operation", "pause"}, "specify the Operation"},
		{[]string{"operation", "list", "--kubeconfig", "nowhere"}, "nowhere"},
		{[]string{"completion"}, "specify one shell"},
		{[]string{"completion", "tcsh"}, "tcsh"},
		{[]string{"agent", "run", "--enter-host"}, "--request"},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			code, out, errOut := run(t, tc.args...)
			if code != cli.ExitUsage {
				t.Errorf("exit code %d, want %d", code, cli.ExitUsage)
			}
			if !strings.HasPrefix(errOut, "error:") || !strings.Contains(errOut, tc.want) || out != "" {
				t.Errorf("want an error with %q, got %q, and %q on standard output", tc.want, errOut, out)
			}
		})
	}
}

func TestEveryMistakeInTheFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	const file = "apiVersion: kubectl-ha.dev/v1alpha1\nkind: Cluster\nspec:\n  kubernetesVersion: v1.20.0\n  virtualIP: x\n  hosts: []\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"preflight", "bootstrap"} {
		code, _, errOut := run(t, verb, "-f", path)
		if code != cli.ExitUsage {
			t.Errorf("%s: exit code %d", verb, code)
		}
		for _, want := range []string{path + ":4:", "v1.20.0", path + ":5:", "spec.virtualIP", "spec.hosts"} {
			if !strings.Contains(errOut, want) {
				t.Errorf("%s does not say %q:\n%s", verb, want, errOut)
			}
		}
	}
}

func TestInterruptedHasItsOwnCode(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cli.ErrInterrupted)
	if got := cli.ExitCode(ctx, action.Invalidf("x")); got != cli.ExitInterrupted {
		t.Errorf("got %d", got)
	}
	if got := cli.ExitCode(ctx, nil); got != cli.ExitOK {
		t.Errorf("got %d although it ended well", got)
	}
}

func TestVersion(t *testing.T) {
	code, out, _ := run(t, "version")
	if code != cli.ExitOK || !strings.HasPrefix(out, "kubectl-ha v") || !strings.Contains(out, "Kubernetes v1.34 to v1.37") {
		t.Errorf("%d %s", code, out)
	}
	if code, out, _ := run(t, "version", "-o", "json"); code != cli.ExitOK || !strings.Contains(out, `"platform"`) {
		t.Errorf("%d %s", code, out)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, out, _ := run(t, "completion", shell)
		if code != cli.ExitOK || !strings.Contains(out, "kubectl-ha") {
			t.Errorf("%s: %d, %d bytes", shell, code, len(out))
		}
	}
	_, out, _ := run(t, "__complete", "boot")
	if !strings.HasPrefix(out, "bootstrap\t") {
		t.Errorf("got %q", out)
	}
}

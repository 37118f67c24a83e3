package cmd

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// habits are kubectl's flags, and --yes: what each is wherever it is. Type "" is any;
// meaning is a word of its help.
var habits = map[string]struct{ shorthand, kind, def, meaning string }{
	"filename":        {"f", "string", "", "Cluster `file`"},
	"output":          {"o", "string", "", "text (default)|what --out is"},
	"out":             {"", "string", "*", "`file` to write"},
	"selector":        {"l", "string", "", "nodes that match this label"},
	"watch":           {"w", "bool", "false", "refresh"},
	"wait":            {"", "bool", "true", "watch the Operation until it ends"},
	"timeout":         {"", "duration", "0s", "maximum time to watch"},
	"dry-run":         {"", "string", "none", "is none, client or server"},
	"yes":             {"y", "bool", "false", "do not prompt for confirmation"},
	"context":         {"", "string", "", "kubeconfig context"},
	"kubeconfig":      {"", "string", "", "kubeconfig file"},
	"request-timeout": {"", "string", "0", "single server request"},
	"v":               {"v", "Level", "0", "log `level`"},
}

// TestFlagsAreKubectls: each flag that kubectl has too is the same on every command.
func TestFlagsAreKubectls(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	seen := map[string]int{}
	for _, c := range commands(NewRoot(streams)) {
		c.InheritedFlags() // cobra joins them to the command's own.
		visit := func(f *pflag.Flag) {
			for name, h := range habits {
				if f.Name != name && h.shorthand != "" && f.Shorthand == h.shorthand {
					t.Errorf("%s: -%s is --%s here, and --%s elsewhere", c.CommandPath(), f.Shorthand, f.Name, name)
				}
			}
			h, known := habits[f.Name]
			if !known {
				return
			}
			seen[f.Name]++
			if f.Shorthand != h.shorthand || f.Value.Type() != h.kind || h.def != "*" && f.DefValue != h.def {
				t.Errorf("%s: --%s is -%q, a %s, by default %q", c.CommandPath(), f.Name, f.Shorthand, f.Value.Type(), f.DefValue)
			}
			meant := false
			for _, m := range strings.Split(h.meaning, "|") {
				meant = meant || strings.Contains(f.Usage, m)
			}
			if !meant {
				t.Errorf("%s: --%s means %q here", c.CommandPath(), f.Name, f.Usage)
			}
		}
		c.Flags().VisitAll(visit)
	}
	for name := range habits {
		if seen[name] == 0 {
			t.Errorf("no command has --%s", name)
		}
	}
}

// TestFlagsThatGoTogether: who knows one of them expects the others.
func TestFlagsThatGoTogether(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	has := func(c *cobra.Command, name string) bool {
		f := c.Flags().Lookup(name)
		return f != nil && !f.Hidden
	}
	for _, c := range commands(NewRoot(streams)) {
		c.InheritedFlags()
		for _, rule := range [][2]string{
			{"dry-run", "yes"}, {"wait", "timeout"}, {"wait", "detach"}, {"detach", "wait"}, {"wait", "yes"},
			{"kubeconfig", "context"}, {"kubeconfig", "request-timeout"},
		} {
			if has(c, rule[0]) && !has(c, rule[1]) {
				t.Errorf("%s has --%s and no --%s", c.CommandPath(), rule[0], rule[1])
			}
		}
		if has(c, "out") && has(c, "output") {
			t.Errorf("%s: -o is in its help, and no format", c.CommandPath())
		}
		if c.Flags().Lookup("v") == nil {
			t.Errorf("%s has no -v", c.CommandPath())
		}
	}
}

// TestUnknownYes: a command that asks nothing, and has no --yes, does not propose --as for it.
func TestUnknownYes(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	tried := 0
	for _, c := range commands(NewRoot(streams)) {
		c.InheritedFlags()
		if c.Flags().Lookup("yes") != nil {
			continue
		}
		tried++
		code, _, errOut := run(t, append(strings.Fields(c.CommandPath())[2:], "--yes")...)
		if code != cli.ExitUsage || strings.Contains(errOut, "--as") {
			t.Errorf("%s --yes: exit code %d, %q", c.CommandPath(), code, errOut)
		}
	}
	if tried < 20 {
		t.Errorf("only %d commands were tried", tried)
	}
}

// TestDryRunAsKubectlHasIt: its words, a switch, and nothing else.
func TestDryRunAsKubectlHasIt(t *testing.T) {
	for arg, want := range map[string]string{"--dry-run": "client", "--dry-run=client": "client", "--dry-run=server": "client", "--dry-run=true": "client",
		"--dry-run=none": "none", "--dry-run=false": "none", "--dry-run=maybe": "error", "--dry-run=": "error"} {
		var dry bool
		f := pflag.NewFlagSet("test", pflag.ContinueOnError)
		cli.AddDryRun(f, &dry, "show it")
		got := "error"
		if err := f.Parse([]string{arg}); err == nil {
			got = f.Lookup("dry-run").Value.String()
		}
		if got != want || dry != (want == "client") {
			t.Errorf("%s is %s, %v", arg, got, dry)
		}
	}
}

// TestWaitIsTheOppositeOfDetach, whichever is given.
func TestWaitIsTheOppositeOfDetach(t *testing.T) {
	for args, want := range map[string]bool{"": false, "--wait": false, "--wait=true": false, "--wait=false": true, "--detach": true, "--detach=false": false} {
		var w cli.WaitFlags
		f := pflag.NewFlagSet("test", pflag.ContinueOnError)
		w.Add(f, "", "leave")
		if err := f.Parse(strings.Fields(args)); err != nil || w.Detach != want {
			t.Errorf("%q leaves: %v, %v", args, w.Detach, err)
		}
	}
}

// TestTimeoutHasItsOwnCode: a watch that --timeout ends says so, as Watch does it.
func TestTimeoutHasItsOwnCode(t *testing.T) {
	w := cli.WaitFlags{Timeout: time.Nanosecond}
	ctx, stop := w.Limited(t.Context())
	defer stop()
	<-ctx.Done()
	err := fmt.Errorf("operation a goes on in the cluster: %w", context.Cause(ctx))
	if code := cli.ExitCode(t.Context(), err); code != cli.ExitTimeout {
		t.Errorf("exit code %d for %v", code, err)
	}
	ctx, stop = (&cli.WaitFlags{}).Limited(t.Context())
	if _, limited := ctx.Deadline(); limited {
		t.Error("without --timeout there is a deadline")
	}
	stop()
}

// TestFormerNamesOfFlags work for one more release, with a warning.
func TestFormerNamesOfFlags(t *testing.T) {
	for _, args := range [][]string{{"images", "list", "--nodes", "a in b"}, {"images", "push", "x.tar", "--nodes", "a in b"}} {
		code, _, errOut := run(t, args...)
		if code != cli.ExitUsage || !strings.HasPrefix(errOut, "warning: --nodes is deprecated, use --selector") || !strings.Contains(errOut, "--selector a in b") {
			t.Errorf("%v: exit code %d, %q", args, code, errOut)
		}
	}
	code, _, errOut := run(t, "node", "add", "w3", "--enrolled", "--print", "-f", "none.yaml")
	if code != cli.ExitUsage || !strings.HasPrefix(errOut, "warning: --enrolled is deprecated, use --joined") || !strings.Contains(errOut, "cannot be combined with --joined") {
		t.Errorf("node add --enrolled: exit code %d, %q", code, errOut)
	}
	code, _, errOut = run(t, "node", "remove", "--etcd-member", "m", "--file", "c.yaml")
	if code != cli.ExitUsage || !strings.HasPrefix(errOut, "warning: --file is deprecated, use --filename") || !strings.Contains(errOut, "is for a host") {
		t.Errorf("node remove --file: exit code %d, %q", code, errOut)
	}
}

// TestRequestTimeout: a request without an answer ends with it, and the cluster can't be
// reached; the deadline of what is no time is a mistake.
func TestRequestTimeout(t *testing.T) {
	asked := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "config")
	config := `{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":"` + server.URL + `"}}],
		"contexts":[{"name":"c","context":{"cluster":"c","user":"c"}}]}`
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := run(t, "images", "list", "--kubeconfig", path, "--request-timeout", "50ms")
	if code != cli.ExitUnreachable || !strings.Contains(errOut, "--request-timeout of 50ms") || len(asked) == 0 {
		t.Errorf("exit code %d, %q after %d requests", code, errOut, len(asked))
	}
	if code, _, errOut := run(t, "images", "list", "--kubeconfig", path, "--request-timeout", "soon"); code != cli.ExitUsage {
		t.Errorf("exit code %d, %q", code, errOut)
	}
}

package agent

import (
	joining "github.com/kubectl-ha/kubectl-ha/pkg/action/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"

	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// newAgentEnrol is what the script of `node add --print` runs: the host does to itself
// what is otherwise done to it over SSH.
func newAgentEnrol(streams genericiooptions.IOStreams) *cobra.Command {
	var file string
	var trust bundles.Trust
	c := &cobra.Command{
		Use:   "enrol --bundle FILE",
		Short: "Prepare and enrol this host, as standard input says",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return action.Invalidf("run it as root")
			}
			var e joining.Enrolment
			if err := json.NewDecoder(streams.In).Decode(&e); err != nil {
				return action.Invalidf("the request on standard input can't be read: %w", err)
			}
			return enrol(c.Context(), e, streams, file, trust)
		},
	}
	c.Flags().StringVar(&file, "bundle", "", "the bundle `file`")
	cli.AddTrustFlags(c.Flags(), &trust, "bundle-")
	return c
}

// enrol enrols this host.
func enrol(ctx context.Context, e joining.Enrolment, streams genericiooptions.IOStreams, file string, trust bundles.Trust) error {
	cluster, err := v1alpha1.Decode([]byte(e.Cluster), "the request's Cluster")
	if err != nil {
		return action.As(action.Invalid, err)
	}
	cluster.SetDefaults()
	b, err := trust.Open(file)
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // only read
	if err := b.Verify(ctx, report.Discard()); err != nil {
		return action.As(action.Invalid, err)
	}
	local, err := newLocalHost(e.Host)
	if err != nil {
		return err
	}
	shown := cli.NewProgress(streams.Out, "")
	defer shown.Close()
	r, err := bootstrap.Add(ctx, bootstrap.AddConfig{Cluster: cluster, Names: []string{e.Host}, Hosts: local, AgentImage: e.AgentImage, AgentDigest: agents.Digest,
		Bundle: func(_ context.Context, arch string) (bootstrap.Bundle, error) {
			return b.ForArch(arch), action.As(action.Invalid, b.Contents().Check(cluster.Spec.KubernetesVersion, arch, ""))
		},
		Discovery: func(context.Context) (string, string, error) { return e.Token, e.CAHash, nil },
		Member: func(h v1alpha1.Host) (bootstrap.MemberFiles, error) {
			if e.Member == nil {
				return bootstrap.MemberFiles{}, fmt.Errorf("the request has no certificates for the etcd member of %s", h.Name)
			}
			return *e.Member, nil
		},
	}, shown)
	shown.Close()
	if err != nil {
		return cli.Explain(ctx, streams.Out, "", r, err)
	}
	_, err = fmt.Fprintf(streams.Out, "%s is enrolled. Delete the script, and run %s node add %s --enrolled where the Cluster file is.\n", e.Host, program.Name, e.Host)
	return err
}

// localHost is this very host, as bootstrap.Hosts.
type localHost struct{ name, program string }

// newLocalHost is this host with the running program, which installs itself as on every host.
func newLocalHost(name string) (*localHost, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the running program: %w", err)
	}
	return &localHost{name: name, program: self}, nil
}

// Run runs a task in this process.
func (l *localHost) Run(ctx context.Context, host string, req node.Request, sink report.Sink) (node.Result, error) {
	if host != l.name {
		return node.Result{}, fmt.Errorf("this is %s, not %s", l.name, host)
	}
	raw, err := json.Marshal(req)
	if err != nil {
		return node.Result{}, err
	}
	a := node.Agent{Tasks: agentTasks()}
	return a.Run(ctx, raw, nil, report.SinkFunc(func(e report.Event) {
		e.Host = host
		sink.Emit(e)
	})), nil
}

// Pipe runs the agent as a process of its own.
func (l *localHost) Pipe(ctx context.Context, _ string, args []string) (io.WriteCloser, io.Reader, func() error, error) {
	cmd := exec.CommandContext(ctx, l.program, args...)
	cmd.Stderr = io.Discard
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, nil, err
	}
	return stdin, stdout, cmd.Wait, nil
}

// DialContext dials from here.
func (l *localHost) DialContext(string) func(context.Context, string, string) (net.Conn, error) {
	return new(net.Dialer).DialContext
}

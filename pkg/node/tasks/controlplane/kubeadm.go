package controlplane

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	kubeadmdoc "github.com/kubectl-ha/kubectl-ha/pkg/kubeadm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// kubeadmTimeout bounds a run of kubeadm, whose own waits are shorter.
const kubeadmTimeout = 5 * time.Minute

// etcdJoinTimeout bounds the phase that waits until a new etcd member has all data: kubeadm's own bound
// (kubeadm.EtcdPatience) is shorter, and is for each of two waits.
const etcdJoinTimeout = 2*kubeadmdoc.EtcdPatience + 2*time.Minute

// fromStdin makes kubeadm read its configuration from standard input.
var fromStdin = []string{"--config", "/dev/stdin"}

// Kubeadm is one run of kubeadm, for other packages' tasks.
type Kubeadm struct {
	// Program is kubeadm's path, or its name alone: kubeadm.
	Program string
	// Why is one line for people: kubeadm upgrade node.
	Why string
	// Config is given to it as standard input, and Args name that.
	Config []byte
	Args   []string
	// Timeout ends it half-way; it is to be longer than kubeadm's own waits.
	Timeout time.Duration
}

// kubeadm runs a subcommand with its configuration.
func kubeadm(ctx context.Context, env node.Env, why string, config []byte, args ...string) error {
	return Kubeadm{Program: "kubeadm", Why: why, Config: config, Args: args, Timeout: kubeadmTimeout}.Run(ctx, env)
}

// Run waits until no other kubeadm runs on the host, runs this one, and shows
// which of its phases it is in. A failure has its output, without secrets.
func (k Kubeadm) Run(ctx context.Context, env node.Env) error {
	if err := WaitOther(ctx, env); err != nil {
		return err
	}
	// kubeadm marks the lines of a phase with its name. Only that is shown: the
	// rest of a line is made for other people's terminals, and may hold a secret.
	phase := ""
	progress := func(line string) {
		if p, ok := phaseOf(line); ok && p != phase {
			phase = p
			env.Progress("kubeadm: %s", describe(p))
		}
	}
	_, err := env.Host.Run(ctx, k.Why, host.Command{
		Argv: append([]string{k.Program}, k.Args...), Stdin: k.Config, Timeout: k.Timeout, Progress: progress,
	})
	if err == nil {
		return nil
	}
	f := &node.Failure{Hint: "look at the output, and at journalctl -u kubelet on the host; the command can be run again"}
	reason := err.Error()
	var command *host.CommandError
	if errors.As(err, &command) {
		f.Output = redact(command.Text(), k.Config)
		reason = lastWords(f.Output, command.Err)
	}
	f.Message = fmt.Sprintf("%s failed: %s", k.Why, reason)
	return f
}

// lastWords is the line in which kubeadm says why it ended, cut to what fits
// into a message, or how it ended.
func lastWords(output string, end error) string {
	const most = 300
	for line := range strings.Lines(output) {
		words, ok := strings.CutPrefix(strings.TrimSpace(line), "error: ")
		if !ok {
			continue
		}
		if len(words) > most {
			words = strings.ToValidUTF8(words[:most], "") + " …"
		}
		return words
	}
	return end.Error()
}

// Those of an upgrade are called [upgrade/PHASE].
var phaseLine = regexp.MustCompile(`^\[(?:upgrade/)?([a-z][a-z-]*)\] `)

// phaseOf finds the phase that a line of kubeadm's belongs to.
func phaseOf(line string) (string, bool) {
	m := phaseLine.FindStringSubmatch(line)
	if m == nil || m[1] == "init" || m[1] == "patches" || m[1] == "upgrade" {
		return "", false
	}
	return m[1], true
}

// describe says what a phase does, for those that take a while.
func describe(phase string) string {
	texts := map[string]string{
		"preflight":           "checking the host",
		"certs":               "making certificates",
		"kubeconfig":          "writing kubeconfigs",
		"etcd":                "writing etcd's manifest, and waiting for the member",
		"check-etcd":          "looking at etcd",
		"control-plane":       "writing the control plane's manifests",
		"control-plane-check": "waiting for the control plane",
		"kubelet-start":       "starting the kubelet",
		"kubelet-check":       "waiting for the kubelet",
		"wait-control-plane":  "waiting for the control plane",
		"upload-certs":        "storing the certificates for the other control planes",
		"upload-config":       "storing the configuration",
		"download-certs":      "fetching the certificates",
		"mark-control-plane":  "labelling the node",
		"bootstrap-token":     "making the bootstrap token",
		"addons":              "applying CoreDNS and kube-proxy",
		"addon":               "applying CoreDNS and kube-proxy",
		"staticpods":          "exchanging the static pods",
		"kubelet-config":      "writing the kubelet's configuration",
	}
	if text, ok := texts[phase]; ok {
		return text
	}
	return phase
}

var secretLine = regexp.MustCompile(`(?m)^[\s-]*(?:token|certificateKey|tlsBootstrapToken):\s*["']?([^\s"']+)`)

// redact takes the configuration's secrets out of kubeadm's output.
func redact(output string, config []byte) string {
	for _, m := range secretLine.FindAllSubmatch(config, -1) {
		secret := string(m[1])
		// A token is its public id, a dot, and the secret.
		if _, after, ok := strings.Cut(secret, "."); ok {
			secret = after
		}
		if len(secret) > 7 {
			output = strings.ReplaceAll(output, secret, "<secret>")
		}
	}
	return output
}

// otherTimeout bounds the wait for a kubeadm that outlived its agent: as long as
// that one may take.
const otherTimeout = max(kubeadmTimeout, etcdJoinTimeout) + 30*time.Second

// WaitOther waits until no other kubeadm runs on the host: that of an agent whose
// connection was lost, which finishes what it has begun, or of one that was
// killed, which ends without its kubeadm.
func WaitOther(ctx context.Context, env node.Env) error {
	wait, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	for told := false; ; told = true {
		pid, err := findProcess(env.Host, "kubeadm")
		if err != nil {
			return fmt.Errorf("look for another kubeadm: %w", err)
		}
		if pid == "" {
			return nil
		}
		if !told {
			env.Progress("waiting for the kubeadm of an earlier run to end")
		}
		select {
		case <-wait.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return host.WithHint(fmt.Errorf("another kubeadm (process %s) has been running for more than %v", pid, otherTimeout),
				"see on the host what it does, end it, and run the command again")
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// findProcess returns the id of a process by its name, or nothing.
func findProcess(h *host.Host, name string) (string, error) {
	entries, err := h.ReadDir("/proc")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.Name()[0] < '1' || e.Name()[0] > '9' {
			continue
		}
		comm, err := h.ReadFile("/proc/" + e.Name() + "/comm")
		if err != nil {
			// It has ended since.
			continue
		}
		if strings.TrimSpace(string(comm)) == name {
			return e.Name(), nil
		}
	}
	return "", nil
}

// ignoring adds the flag for preflight checks, when there are any.
func ignoring(args []string, checks []string) []string {
	if len(checks) == 0 {
		return args
	}
	return append(args, "--ignore-preflight-errors="+strings.Join(checks, ","))
}

// availableCheck is kubeadm's name of the check that a file is not there yet.
func availableCheck(path string) string {
	return "FileAvailable-" + strings.ReplaceAll(path, "/", "-")
}

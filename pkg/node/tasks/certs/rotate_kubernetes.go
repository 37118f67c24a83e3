package certs

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const controllerManagerManifest = manifestsDir + "/kube-controller-manager.yaml"

// kubernetes exchanges the cluster's CA: what signs and what is trusted on a control plane
// node, and what a kubelet trusts on any node.
func (r *rotation) kubernetes(ctx context.Context) error {
	if r.Phase == PhaseFinish {
		if err := r.unfinished(SignerKubernetes); err != nil {
			return err
		}
	}
	if r.controlPlane {
		if _, _, err := r.signingManifest(); err != nil {
			return err
		}
	}
	if err := r.trustFiles(ctx); err != nil {
		return err
	}
	if err := r.kubeconfigs(ctx); err != nil {
		return err
	}
	if err := r.restartReaders(ctx); err != nil || !r.controlPlane {
		return err
	}
	switch r.Phase {
	case PhaseIssue:
		if err := r.reissue(ctx, SignerKubernetes); err != nil {
			return err
		}
	case PhaseFinish:
		if err := r.dropChain(ctx); err != nil {
			return err
		}
		if _, err := r.h.Remove(ctx, controlplane.SigningCA); err != nil {
			return err
		}
		if err := r.Authority.forget(ctx, r.h); err != nil {
			return err
		}
	}
	return r.accepted(ctx)
}

// restartReaders restarts what reads CAs at its start only: the programs with a kubeconfig that
// has them inside, and controller-manager, which publishes ca.crt as it was then.
func (r *rotation) restartReaders(ctx context.Context) error {
	var caFile []string
	if r.Phase != PhaseIssue { // In which only their order changes.
		file, _ := r.Authority.files()
		caFile = []string{file}
	}
	if r.controlPlane {
		if err := r.signingFlag(ctx); err != nil {
			return err
		}
		if err := r.restart(ctx, controllerManagerProgram, append([]string{path.Join(kubernetesDir, ControllerManager)}, caFile...)...); err != nil {
			return err
		}
		if err := r.restart(ctx, schedulerProgram, path.Join(kubernetesDir, Scheduler)); err != nil {
			return err
		}
	}
	return r.restart(ctx, kubeletProgram, append([]string{kubeletConf}, caFile...)...)
}

// trustFiles writes ca.crt and, on a control plane node, the key and the CA that signs.
func (r *rotation) trustFiles(ctx context.Context) error {
	trust, key := r.Authority.files()
	caFile := host.File{Path: trust, Mode: 0o644, Content: r.Anchors(), Note: "the CAs of the cluster"}
	if !r.controlPlane {
		return r.write(ctx, caFile)
	}
	if err := r.keepBoth(ctx); err != nil {
		return err
	}
	if r.Phase == PhaseFinish {
		return r.write(ctx, caFile)
	}
	pair, err := r.signing()
	if err != nil {
		return err
	}
	return r.write(ctx, host.File{Path: key, Mode: 0o600, Content: pair.KeyPEM, Note: "the key of the cluster's CA", Unkept: true},
		host.File{Path: controlplane.SigningCA, Mode: 0o644, Content: pair.CertPEM, Note: "the CA that controller-manager signs with"}, caFile)
}

// kubeconfigs has those of the host trust what is trusted in this phase.
func (r *rotation) kubeconfigs(ctx context.Context) error {
	entries, err := r.h.ReadDir(kubernetesDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		file := path.Join(kubernetesDir, e.Name())
		if e.IsDir() || !strings.HasSuffix(file, ".conf") {
			continue
		}
		raw, err := r.h.ReadFile(file)
		if err != nil {
			return err
		}
		content, differs, err := r.withAnchors(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if !differs {
			continue
		}
		if err := r.write(ctx, host.File{Path: file, Mode: 0o600, Content: content, Note: "the CAs that " + e.Name() + " trusts"}); err != nil {
			return err
		}
	}
	return nil
}

// withAnchors is a kubeconfig with this phase's CAs wherever one of the two was. Others' CAs,
// and files that are named, stay.
func (s RotationSpec) withAnchors(raw []byte) (content []byte, differs bool, err error) {
	c, err := clientcmd.Load(raw)
	if err != nil {
		return nil, false, errKubeconfig
	}
	for _, cluster := range c.Clusters {
		// Their order matters to nobody here.
		if s.About(cluster.CertificateAuthorityData) && !s.Reached(cluster.CertificateAuthorityData) {
			cluster.CertificateAuthorityData, differs = s.Anchors(), true
		}
	}
	if !differs {
		return raw, false, nil
	}
	content, err = clientcmd.Write(*c)
	return content, true, err
}

// signingManifest is controller-manager's manifest with the CA in this phase, and that CA's file.
func (r *rotation) signingManifest() (content []byte, file string, err error) {
	raw, err := r.h.ReadFile(controllerManagerManifest)
	if err != nil {
		return nil, "", err
	}
	file, _ = r.Authority.files()
	if now := flag(r.h, controllerManagerManifest, controlplane.SigningFlag); now != file && now != controlplane.SigningCA {
		return nil, "", host.WithHint(fmt.Errorf("controller-manager signs with %q, and not with %s", now, file), "the CA of this cluster was set up by hand, and is to be rotated by hand")
	}
	if r.Phase != PhaseFinish {
		file = controlplane.SigningCA
	}
	content, err = controlplane.SetFlag(raw, controlplane.SigningFlag, file)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", controllerManagerManifest, err)
	}
	return content, file, nil
}

// signingFlag has controller-manager sign with a file that has one CA in it, and waits until
// it does.
func (r *rotation) signingFlag(ctx context.Context) error {
	content, file, err := r.signingManifest()
	if err != nil {
		return err
	}
	if flag(r.h, controllerManagerManifest, controlplane.SigningFlag) == file {
		return nil
	}
	if err := r.write(ctx, host.File{Path: controllerManagerManifest, Mode: 0o600, Content: content, Note: "the CA that controller-manager signs with"}); err != nil {
		return err
	}
	if r.h.DryRun() {
		return nil
	}
	r.data.Restarted = append(r.data.Restarted, controllerManagerProgram)
	err = host.Until(ctx, settleTimeout, settleInterval, func(context.Context) error {
		return r.deps.runsWith(r.h, controllerManagerProgram, "--"+controlplane.SigningFlag+"="+file)
	}, func(seen error) error {
		return host.WithHint(fmt.Errorf("the kubelet did not restart %s with its changed manifest within %v: %w", controllerManagerProgram, settleTimeout, seen), "look at journalctl -u kubelet on the host, then resume")
	})
	if err != nil {
		return err
	}
	return r.well(ctx, controllerManagerProgram)
}

// runsWith is nil when every process of a program, of which there is one at least, has the argument.
func runsWith(h *host.Host, program, argument string) error {
	all, err := running(h, program, time.Time{})
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("%s does not run", program)
	}
	for _, pid := range all {
		line, err := h.ReadFile(path.Join("/proc", pid, "cmdline"))
		if err != nil {
			return fmt.Errorf("process %s has just ended", pid)
		}
		if !slices.Contains(strings.Split(string(line), "\x00"), argument) {
			return fmt.Errorf("process %s runs without %s", pid, argument)
		}
	}
	return nil
}

// dropChain has the apiserver show its own certificate only.
func (r *rotation) dropChain(ctx context.Context) error {
	at := slices.IndexFunc(catalogue(), func(u unit) bool { return u.name == APIServer })
	u := catalogue()[at]
	raw, err := r.h.ReadFile(u.cert)
	if err != nil {
		return err
	}
	if len(pki.Certs(raw)) < 2 {
		return nil
	}
	return r.write(ctx, host.File{Path: u.cert, Mode: 0o644, Content: firstPEM(raw), Note: "the apiserver's certificate"})
}

// accepted waits until the apiserver asks for the logins of those of the two CAs that are trusted
// in this phase. It reads the file when that changes, and once a minute besides.
func (r *rotation) accepted(ctx context.Context) error {
	var gone []byte
	if r.Phase == PhaseFinish {
		gone = r.From
	}
	return host.Until(ctx, settleTimeout, settleInterval, func(ctx context.Context) error {
		return r.deps.accepts(ctx, r.env, r.Anchors(), gone)
	}, func(seen error) error {
		return host.WithHint(fmt.Errorf("the apiserver does not go by the CAs in %s within %v: %w", pkiDir+"/ca.crt", settleTimeout, seen), "look at the apiserver's log on the host, then resume")
	})
}

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// kindKubeadm is the ledger's kind of the notes that a run of kubeadm begins
// and that it ended well.
const kindKubeadm = "kubeadm"

// work is a run of kubeadm as it is noted in the ledger.
type work string

const (
	workInit    work = "init"
	workJoin    work = "join"
	workPromote work = "promote"
)

func (w work) done() string { return string(w) + " done" }

// begun tells whether the run was ever begun on this host, finished whether it
// ended well.
func (w work) begun(h *host.Host) (bool, error)    { return noted(h, string(w)) }
func (w work) finished(h *host.Host) (bool, error) { return noted(h, w.done()) }

func (w work) begin(ctx context.Context, h *host.Host) error {
	return h.Record(ctx, kindKubeadm, string(w), "kubeadm "+string(w)+" begins")
}

// start notes that the run begins, which writes files, and tells whether it was begun
// before. When it was not, none of the foreign files may be there.
func (w work) start(ctx context.Context, h *host.Host, files []string, foreign ...string) (before bool, err error) {
	if before, err = w.begun(h); err != nil {
		return before, err
	}
	if !before {
		if err := refuseForeign(h, foreign...); err != nil {
			return before, err
		}
	}
	if err := announce(ctx, h, files); err != nil {
		return before, err
	}
	return before, w.begin(ctx, h)
}

// once does what makes this host a control plane, unless that is finished.
func (w work) once(h *host.Host, do func() error) (finished bool, err error) {
	if finished, err = w.finished(h); err != nil {
		return finished, err
	}
	if !finished {
		return finished, do()
	}
	if there, err := h.Exists(apiserverManifest); err != nil || !there {
		return finished, gone(apiserverManifest, err)
	}
	return finished, nil
}

// gone is the error of a host that lost what was made there.
func gone(path string, err error) error {
	if err != nil {
		return err
	}
	return host.WithHint(fmt.Errorf("this host was made a control plane before, but %s is gone", path),
		"put it back from a backup, or take the host out of the cluster and add it again")
}

func (w work) finish(ctx context.Context, h *host.Host) error {
	return h.Record(ctx, kindKubeadm, w.done(), "kubeadm "+string(w)+" ended well")
}

func noted(h *host.Host, what string) (bool, error) {
	ledger, err := h.Ledger()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return ledger.Knows(kindKubeadm, what), nil
}

// announce notes the files that kubeadm and the kubelet are about to make, as
// far as they are not there yet.
func announce(ctx context.Context, h *host.Host, files []string) error {
	for _, path := range files {
		there, err := h.Exists(path)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if err := h.Record(ctx, host.KindFile, path, "made by kubeadm"); err != nil {
			return err
		}
	}
	return nil
}

// refuseForeign is an error when any of the files is there although we never
// ran kubeadm here.
func refuseForeign(h *host.Host, files ...string) error {
	var found []string
	for _, path := range files {
		there, err := h.Exists(path)
		if err != nil {
			return err
		}
		if there {
			found = append(found, path)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return host.WithHint(fmt.Errorf("the host has leftovers of another cluster: %v", found),
		"when that cluster is not needed any more, run kubeadm reset on the host and remove /etc/kubernetes, then run the command again")
}

// WritePatches is writePatches for other packages' tasks.
func WritePatches(ctx context.Context, h *host.Host, patches map[string]string) error {
	return writePatches(ctx, h, patches)
}

// writePatches puts kubeadm's patch files into PatchesDir, and takes away our
// own that are not wanted any more: kubeadm applies whatever lies there.
func writePatches(ctx context.Context, h *host.Host, patches map[string]string) error {
	entries, err := h.ReadDir(PatchesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if _, wanted := patches[e.Name()]; !wanted {
			if _, err := h.Remove(ctx, PatchesDir+"/"+e.Name()); err != nil {
				return err
			}
		}
	}
	// kubeadm insists on the directory when its configuration names it.
	if _, err := h.Mkdir(ctx, PatchesDir, 0o700, 0, 0); err != nil {
		return err
	}
	for _, name := range sortedKeys(patches) {
		if name == "" || slices.Contains([]byte(name), '/') {
			return fmt.Errorf("kubeadm.patches: %q is not the name of a file", name)
		}
		if _, err := h.WriteFile(ctx, host.File{Path: PatchesDir + "/" + name, Mode: 0o600, Content: []byte(patches[name]), Note: "a patch for kubeadm"}); err != nil {
			return err
		}
	}
	return nil
}

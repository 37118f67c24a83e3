package upgrade

import (
	"context"
	"errors"
	"path"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// MendSpec takes an unfinished upgrade back when the host boots; there is
// nothing to be said about it.
type MendSpec struct{}

// Mend makes the host what it was before an upgrade that has begun and not
// ended, as a loss of power leaves it. It runs before the kubelet starts: a node
// whose apiserver's manifest is missing, or whose new kubelet does not start, can
// get no task any more, for its kubelet is what would bring it. What was kept is known to
// work. The Operation then begins anew.
//
// What is whole at a later version, and has been for long, is left: whoever did not go on with
// the Operation went on with the host, and its way back may be none any more.
func Mend(ctx context.Context, env node.Env, _ MendSpec) (any, error) {
	data := Data{}
	var wrong []error
	for _, p := range []part{kubeletPart, controlPlanePart} {
		m, k, ok, err := unfinished(env.Host, p)
		ok = ok && m.State == begun
		if err == nil && ok && abandoned(m, time.Now()) {
			var left bool
			if left, err = leave(ctx, env.Host, p, m, k); left {
				env.Progress("leaving the %s at a version after %s, at which it has been since %s", p, m.From, m.Since.Format(time.DateTime))
				ok = false
			}
		}
		if err == nil && ok {
			env.Progress("taking the unfinished upgrade of the %s from %s to %s back", p, m.From, m.To)
			var mended []string
			mended, err = takeBack(ctx, env.Host, p, k)
			data.From, data.Mended = m.To, append(data.Mended, mended...)
		}
		// What is wrong with one is no reason to leave the other as it is.
		wrong = append(wrong, err)
	}
	data.Already = len(data.Mended) == 0
	return data, errors.Join(wrong...)
}

// takeBack puts a part back. A control plane's kubelet gets its configuration back
// from what was kept with the static pods, since kubeadm wrote it with these.
func takeBack(ctx context.Context, h *host.Host, p part, k kept) ([]string, error) {
	changed, err := k.takeBack(ctx, h)
	if err != nil || p != kubeletPart || len(k.under(kubeletDir)) > 0 {
		return changed, err
	}
	m, err := readMark(h, controlPlanePart)
	if err != nil || m.From == "" {
		return changed, err
	}
	before, err := readKept(h, m.From, controlPlanePart)
	if err != nil {
		return changed, err
	}
	for _, file := range before.under(kubeletDir) {
		now, err := before.putBack(ctx, h, file)
		if err != nil {
			return changed, err
		}
		if now {
			changed = append(changed, file)
		}
	}
	return changed, nil
}

// takeBack puts everything back that makes the version: manifests, binaries, the
// kubelet's configuration. Certificates and kubeconfigs that kubeadm renewed are
// as good for the old version; of these only the broken ones are put back. So it is with the manifest of
// kubeadm's own etcd: the old API server is served by the new member, and once all members are new
// the old one does not start with its data any more.
func (k kept) takeBack(ctx context.Context, h *host.Host) ([]string, error) {
	if err := k.whole(h); err != nil {
		return nil, host.WithHint(err, "put the files back from a backup of this host, or take the node out of the cluster and add it again")
	}
	changed, err := k.mend(ctx, h)
	if err != nil {
		return changed, err
	}
	var files []string
	for _, dir := range []string{binDir, kubeletDir, manifestsDir} {
		files = append(files, k.under(dir)...)
	}
	for _, file := range files {
		if file == manifest(etcdComponent) {
			continue
		}
		now, err := k.putBack(ctx, h, file)
		if err != nil {
			return changed, err
		}
		if now {
			changed = append(changed, file)
		}
	}
	return changed, nil
}

// touched lists what a part's upgrade may change.
func touched(h *host.Host, p part, workers bool) ([]string, error) {
	var files []string
	if p == kubeletPart {
		for _, name := range binaries {
			files = append(files, path.Join(binDir, name))
		}
		if workers {
			files = append(files, kubeletFiles...)
		}
		return files, nil
	}
	for _, c := range components {
		files = append(files, manifest(c))
	}
	files = append(files, kubeconfigs...)
	files = append(files, kubeletFiles...)
	dirs := []string{pkiDir}
	stacked, err := h.Exists(manifest(etcdComponent))
	if err != nil {
		return nil, err
	}
	if stacked {
		files, dirs = append(files, manifest(etcdComponent)), append(dirs, pkiDir+"/etcd")
	}
	for _, dir := range dirs {
		entries, err := h.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if ext := path.Ext(e.Name()); e.Type().IsRegular() && (ext == ".crt" || ext == ".key" || ext == ".pub") {
				files = append(files, path.Join(dir, e.Name()))
			}
		}
	}
	return files, nil
}

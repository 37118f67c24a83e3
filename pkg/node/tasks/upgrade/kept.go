package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// part is one half of a node, upgraded and rolled back by itself.
type part string

const (
	controlPlanePart part = "control-plane"
	kubeletPart      part = "kubelet"
)

// kept is what was there before a part of a node was upgraded.
type kept struct {
	Version string `json:"version"`
	// Files by their path.
	Files map[string]keptFile `json:"files"`
	// Absent are the paths where there was nothing.
	Absent []string `json:"absent,omitempty"`

	part part
}

// keptFile is a regular file as it was.
type keptFile struct {
	SHA256 string      `json:"sha256"`
	Mode   fs.FileMode `json:"mode"`
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
}

func keptDir(version string, p part) string { return path.Join(KeptDir, version, string(p)) }

const keptIndex = "index.json"

// store is where a file's content is kept.
func (k kept) store(file string) string { return keptDir(k.Version, k.part) + file }

// keep copies files away, the list of them last: only with that it counts. What
// was kept of the same version before is replaced. Links are left out; whoever
// made them looks after what they point at.
func keep(ctx context.Context, h *host.Host, version string, p part, files []string) (kept, error) {
	k := kept{Version: version, Files: map[string]keptFile{}, part: p}
	dir := keptDir(version, p)
	for _, d := range []string{KeptDir, path.Join(KeptDir, version), dir} {
		if _, err := h.Mkdir(ctx, d, 0o700, 0, 0); err != nil {
			return k, err
		}
	}
	if _, err := h.Remove(ctx, path.Join(dir, keptIndex)); err != nil {
		return k, err
	}
	for _, file := range files {
		info, err := h.Stat(file)
		if errors.Is(err, fs.ErrNotExist) {
			k.Absent = append(k.Absent, file)
			continue
		}
		if err != nil {
			return k, err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		f := keptFile{Mode: info.Mode().Perm()}
		f.UID, f.GID = host.Owner(info)
		if f.SHA256, err = h.SHA256(file); err != nil {
			return k, err
		}
		if err := k.take(ctx, h, file, f); err != nil {
			return k, err
		}
		k.Files[file] = f
	}
	raw, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return k, err
	}
	_, err = h.WriteFile(ctx, host.File{Path: path.Join(dir, keptIndex), Mode: 0o600, Content: append(raw, '\n'), Note: "what was kept before an upgrade"})
	return k, err
}

// take keeps a file: a program by a second name, since it will be replaced as a whole,
// anything else as a copy.
func (k kept) take(ctx context.Context, h *host.Host, file string, f keptFile) error {
	to := host.File{Path: k.store(file), Mode: 0o600, Note: "what " + file + " was before an upgrade"}
	if path.Dir(file) == binDir {
		to.Mode, to.UID, to.GID = f.Mode, f.UID, f.GID
		_, err := h.LinkFile(ctx, to, file, f.SHA256)
		return err
	}
	_, err := h.InstallFile(ctx, to, f.SHA256, opener(h, file))
	return err
}

// readKept reads what was kept. The error wraps fs.ErrNotExist when that was
// never finished.
func readKept(h *host.Host, version string, p part) (kept, error) {
	raw, err := h.ReadFile(path.Join(keptDir(version, p), keptIndex))
	if err != nil {
		return kept{}, err
	}
	k := kept{part: p}
	if err := json.Unmarshal(raw, &k); err != nil || k.Version != version {
		return kept{}, fmt.Errorf("what was kept of %s can't be read (%s)", version, path.Join(keptDir(version, p), keptIndex))
	}
	return k, nil
}

// whole compares everything that was kept with its digest, before any of it is
// put back.
func (k kept) whole(h *host.Host) error {
	for file, f := range k.Files {
		if got, err := h.SHA256(k.store(file)); err != nil || got != f.SHA256 {
			return fmt.Errorf("what was kept of %s is damaged: %s is not as it was (%w)", k.Version, k.store(file), errors.Join(err, errDamaged))
		}
	}
	return nil
}

var errDamaged = errors.New("its SHA-256 is another")

// putBack makes a file what it was. A file that was not there is removed, when it is ours
// or kubeadm's.
func (k kept) putBack(ctx context.Context, h *host.Host, file string) (changed bool, err error) {
	f, ok := k.Files[file]
	if !ok {
		if slices.Contains(k.Absent, file) {
			return k.remove(ctx, h, file)
		}
		return false, nil
	}
	return h.InstallFile(ctx, host.File{Path: file, Mode: f.Mode, UID: f.UID, GID: f.GID, Note: "as it was at " + k.Version}, f.SHA256, opener(h, k.store(file)))
}

func (k kept) remove(ctx context.Context, h *host.Host, file string) (bool, error) {
	there, err := h.Exists(file)
	if err != nil || !there {
		return false, err
	}
	// It came with the upgrade; from here on it is in the ledger as well.
	if err := h.Record(ctx, host.KindFile, file, "made by kubeadm"); err != nil {
		return false, err
	}
	return h.Remove(ctx, file)
}

// under lists the files that were kept, or were not there, below or at a path.
func (k kept) under(prefix string) []string {
	var out []string
	for file := range k.Files {
		if file == prefix || strings.HasPrefix(file, prefix+"/") {
			out = append(out, file)
		}
	}
	for _, file := range k.Absent {
		if file == prefix || strings.HasPrefix(file, prefix+"/") {
			out = append(out, file)
		}
	}
	slices.Sort(out)
	return out
}

// listKept lists the versions of which something was kept, whole.
func listKept(h *host.Host) ([]string, error) {
	entries, err := h.ReadDir(KeptDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		for _, p := range []part{controlPlanePart, kubeletPart} {
			if _, err := readKept(h, e.Name(), p); err == nil && !slices.Contains(out, e.Name()) {
				out = append(out, e.Name())
			}
		}
	}
	return out, nil
}

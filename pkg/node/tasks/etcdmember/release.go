package etcdmember

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// ReleasesDir is where the programs to come are: as of an upgrade of Kubernetes, a directory
	// for each version with a manifest.json {name: SHA-256}, which is written last.
	ReleasesDir = host.StateDir + "/releases"
	releaseList = "manifest.json"
	// keptDir has what an upgrade has replaced, for the way back.
	keptDir = host.StateDir + "/kept"
	binDir  = "/usr/local/bin"
)

// programs are etcd's, etcd itself last: with it the member counts as upgraded. The others need
// not be there.
func programs() []string { return []string{"etcdctl", "etcdutl", "etcd"} }

// release is a set of etcd's programs in one directory.
type release struct {
	dir string
	// sums maps names to SHA-256 (hex).
	sums map[string]string
}

func (r release) path(name string) string { return path.Join(r.dir, name) }

// keptOf is where the programs of a version are kept: v3.6.16.
func keptOf(version string) string { return path.Join(keptDir, "etcd-"+version) }

// openRelease reads the list of a directory, and compares every program with it. The error wraps
// fs.ErrNotExist when there is no list.
func openRelease(h *host.Host, dir string) (release, error) {
	r := release{dir: dir}
	raw, err := h.ReadFile(r.path(releaseList))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(raw, &r.sums); err != nil {
		return r, fmt.Errorf("%s can't be read: %w", r.path(releaseList), err)
	}
	if r.sums["etcd"] == "" {
		return r, fmt.Errorf("%s has no etcd: %w", dir, fs.ErrNotExist)
	}
	for _, name := range programs() {
		want, listed := r.sums[name]
		if !listed {
			continue
		}
		got, err := h.SHA256(r.path(name))
		if err != nil {
			return r, fmt.Errorf("%s: %w", r.path(name), err)
		}
		if got != want {
			return r, fmt.Errorf("%s has the SHA-256 %s instead of %s", r.path(name), got, want)
		}
	}
	return r, nil
}

// toCome opens the release of a version, with what to do when it is not there.
func toCome(h *host.Host, version string) (release, error) {
	r, err := openRelease(h, path.Join(ReleasesDir, version))
	if err == nil {
		return r, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("etcd %s is not on this host", version)
	} else {
		err = fmt.Errorf("etcd %s on this host is not whole: %w", version, err)
	}
	return r, host.WithHint(err, "kubectl ha etcd upgrade brings it before anything is changed; in an Operation that was made by hand: kubectl ha etcd upgrade "+version+" --push-only")
}

// installed tells whether etcd itself is the one in place.
func (r release) installed(h *host.Host) (bool, error) {
	got, err := h.SHA256(binary)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return got == r.sums["etcd"], err
}

// install puts the programs into place. Each is replaced at once; who runs goes on with the old one.
func (r release) install(ctx context.Context, h *host.Host, note string) error {
	for _, name := range programs() {
		want, listed := r.sums[name]
		if !listed {
			continue
		}
		open := func() (io.ReadCloser, error) { return os.Open(h.Path(r.path(name))) }
		if _, err := h.InstallFile(ctx, host.File{Path: path.Join(binDir, name), Mode: 0o755, Note: name + " " + note}, want, open); err != nil {
			return fmt.Errorf("install %s: %w", name, err)
		}
	}
	return nil
}

// keep gives the programs in place a second name, the list last: only with that it counts.
func keep(ctx context.Context, h *host.Host, version string) (release, error) {
	r := release{dir: keptOf(version), sums: map[string]string{}}
	for _, d := range []string{keptDir, r.dir} {
		if _, err := h.Mkdir(ctx, d, 0o700, 0, 0); err != nil {
			return r, err
		}
	}
	if _, err := h.Remove(ctx, r.path(releaseList)); err != nil {
		return r, err
	}
	for _, name := range programs() {
		from := path.Join(binDir, name)
		info, err := h.Stat(from)
		if errors.Is(err, fs.ErrNotExist) && name != "etcd" {
			continue
		}
		if err != nil {
			return r, fmt.Errorf("keep %s: %w", name, err)
		}
		if r.sums[name], err = h.SHA256(from); err != nil {
			return r, err
		}
		f := host.File{Path: r.path(name), Mode: info.Mode().Perm(), Note: name + " of before an upgrade"}
		f.UID, f.GID = host.Owner(info)
		if _, err := h.LinkFile(ctx, f, from, r.sums[name]); err != nil {
			return r, err
		}
	}
	raw, err := json.Marshal(r.sums)
	if err != nil {
		return r, err
	}
	_, err = h.WriteFile(ctx, host.File{Path: r.path(releaseList), Mode: 0o600, Content: append(raw, '\n'), Note: "etcd's programs of before an upgrade"})
	return r, err
}

// versionOf asks an etcd on the disk for its version: v3.6.16. With settings it reads these too,
// all of them before it tells, and refuses what it does not take.
func versionOf(ctx context.Context, h *host.Host, program string, settings map[string]string) (string, error) {
	argv := []string{program}
	for _, flag := range slices.Sorted(maps.Keys(settings)) {
		argv = append(argv, "--"+flag+"="+settings[flag])
	}
	out, err := h.Query(ctx, host.Command{Argv: append(argv, "--version"), Timeout: 30 * time.Second})
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(string(out.Stderr)), "\n")
		if first == "" {
			first = err.Error()
		}
		return "", errors.New(first)
	}
	told := toldVersion.FindStringSubmatch(string(out.Stdout))
	if told == nil {
		return "", fmt.Errorf("%s does not tell its version", program)
	}
	if _, err := etcd.ParseVersion(told[1]); err != nil {
		return "", err
	}
	return "v" + told[1], nil
}

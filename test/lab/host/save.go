package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
	"github.com/kubectl-ha/kubectl-ha/test/lab/fscopy"
	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// KeptSaves is how many frozen labs are kept; Save removes the oldest beyond it.
const KeptSaves = 4

// Save is a lab that was frozen with all that is on its hosts' disks. Labs that
// are made from it have its hosts, addresses and keys: a cluster that was on it is
// there again once its programs have started, as after a power cut.
type Save struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Lab is the frozen lab's state.
	Lab Lab `json:"lab"`
	// Shared are, by host, the folders below /var whose files are never written
	// again, so that each copy has them as hard links.
	Shared map[string][]string `json:"shared"`
}

// ErrNoSave is what LoadSave returns when there is no frozen lab of that name.
var ErrNoSave = errors.New("no such frozen lab; lab save makes one, lab saves lists them")

var savePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

// ValidateSaveName fails on what can't be a frozen lab's name: it becomes part of
// the names of images and volumes.
func ValidateSaveName(name string) error {
	if !savePattern.MatchString(name) {
		return fmt.Errorf("name %q for a frozen lab: up to 63 of a-z, 0-9, . and -, beginning with a letter or digit", name)
	}
	return nil
}

// LoadSave reads what is known of the frozen lab called name.
func LoadSave(c cache.Dir, name string) (*Save, error) {
	if err := ValidateSaveName(name); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(filepath.Join(c.Save(name), "save.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%q: %w", name, ErrNoSave)
	}
	if err != nil {
		return nil, err
	}
	var s Save
	if err := json.Unmarshal(content, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(c.Save(name), "save.json"), err)
	}
	return &s, nil
}

// Saves are the frozen labs, the newest first.
func Saves(c cache.Dir) ([]*Save, error) {
	found, err := filepath.Glob(filepath.Join(c.Saves(), "*", "save.json"))
	if err != nil {
		return nil, err
	}
	var list []*Save
	for _, f := range found {
		s, err := LoadSave(c, filepath.Base(filepath.Dir(f)))
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *Save) int { return b.Created.Compare(a.Created) })
	return list, nil
}

// image and volume are Docker's names for what was on a frozen host's disk: all of
// it but /var, and /var.
func (s *Save) image(host string) string  { return saveRepository + ":" + s.Name + "-" + host }
func (s *Save) volume(host string) string { return "lab-save-" + s.Name + "-" + host }

const saveRepository = "kubectl-ha-lab/save"

// labFiles are the files of a lab's folder that go with it: its keys, and what its hosts
// were when they were bare.
func labFiles() []string {
	return []string{"id_ed25519", "id_ed25519.pub", "known_hosts", "hostkeys", "bare"}
}

// Save freezes the lab under a name: every host stops for some seconds, all at the same
// moment, and goes on. folder, unless it is empty, is a folder of the workstation's that
// is kept with it (kubeconfig, certificate authorities). A frozen lab of that name is replaced.
func (m Manager) Save(ctx context.Context, l *Lab, name, folder string) (*Save, error) {
	if err := ValidateSaveName(name); err != nil {
		return nil, err
	}
	running, err := m.inState(ctx, l, nil, "running")
	if err != nil {
		return nil, err
	}
	if len(running) != len(l.Hosts) || len(l.Partitions) > 0 {
		return nil, fmt.Errorf("lab %q: every host must run and reach the others to be frozen (lab status, lab start, lab heal)", l.Name)
	}
	for _, h := range l.Hosts {
		if h.Disk != "" {
			return nil, fmt.Errorf("lab %q: host %s has a disk of its own (--disk), which can't be frozen", l.Name, h.Name)
		}
	}
	if err := m.Forget(ctx, name); err != nil {
		return nil, err
	}
	s := &Save{Name: name, Created: time.Now().UTC(), Lab: *l, Shared: map[string][]string{}}
	if err := m.Pause(ctx, l, nil); err != nil {
		return nil, errors.Join(err, m.Unpause(context.WithoutCancel(ctx), l, nil))
	}
	err = m.saveHosts(ctx, l, s)
	if err := errors.Join(err, m.Unpause(context.WithoutCancel(ctx), l, nil)); err != nil {
		return nil, errors.Join(err, m.Forget(context.WithoutCancel(ctx), name))
	}
	if err := s.keepFiles(m.Cache.Save(name), l, folder); err != nil {
		return nil, err
	}
	return s, m.forgetOld(ctx)
}

// saveHosts copies the disks of hosts that are paused.
func (m Manager) saveHosts(ctx context.Context, l *Lab, s *Save) error {
	there, err := m.Docker.Containers(ctx, docker.LabelLab, l.Name)
	if err != nil {
		return err
	}
	var trees []CopyJob
	for _, h := range l.Hosts {
		c := there[l.container(h.Name)]
		if s.Shared[h.Name], err = unwritten(ctx, c.State.Pid); err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
		trees = append(trees, CopyJob{From: c.Volume("/var"), To: s.volume(h.Name), Shared: s.Shared[h.Name]})
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for _, h := range l.Hosts {
		g.Go(func() error {
			_, err := m.Docker.Run(gctx, "commit", "--pause=false", l.container(h.Name), s.image(h.Name))
			return err
		})
	}
	g.Go(func() error { return m.copyVolumes(gctx, docker.LabelSave, s.Name, trees) })
	return g.Wait()
}

// containerd's folders below /var whose files are replaced, never written: the pieces of
// images, and layers. https://github.com/containerd/containerd/blob/main/docs/content-flow.md
const (
	contentFolder  = "lib/containerd/io.containerd.content.v1.content/blobs"
	snapshotFolder = "lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"
)

// unwritten are the folders below a host's /var whose files nobody writes, pid being the
// host's first process: containerd's content, and the layers that are mounted as lower ones
// by some container. A layer that is mounted writable is a container's own.
func unwritten(ctx context.Context, pid int) ([]string, error) {
	out, err := run.Output(ctx, run.Cmd{Argv: run.AsRoot("cat", fmt.Sprintf("/proc/%d/mountinfo", pid))})
	if err != nil {
		return nil, err
	}
	mounts, err := mountinfo.GetMountsFromReader(strings.NewReader(out), mountinfo.FSTypeFilter("overlay"))
	if err != nil {
		return nil, err
	}
	lower, upper := map[string]bool{}, map[string]bool{}
	for _, mount := range mounts {
		for option := range strings.SplitSeq(mount.VFSOptions, ",") {
			key, value, _ := strings.Cut(option, "=")
			for path := range strings.SplitSeq(value, ":") {
				rel, ok := strings.CutPrefix(path, "/var/"+snapshotFolder+"/")
				if !ok {
					continue
				}
				switch key {
				case "lowerdir":
					lower[snapshotFolder+"/"+rel] = true
				case "upperdir":
					upper[snapshotFolder+"/"+rel] = true
				}
			}
		}
	}
	shared := []string{contentFolder}
	for path := range lower {
		if !upper[path] {
			shared = append(shared, path)
		}
	}
	slices.Sort(shared)
	return shared, nil
}

// CopyJob is a volume to be copied: its name, the copy's, and the folders whose files the
// copy shares.
type CopyJob struct {
	From   string   `json:"from"`
	To     string   `json:"to"`
	Shared []string `json:"shared"`
}

// copyVolumes makes the copies with a label, by this very program as root, since the
// volumes are Docker's.
func (m Manager) copyVolumes(ctx context.Context, label, value string, jobs []CopyJob) error {
	for _, j := range jobs {
		if _, err := m.Docker.Run(ctx, "volume", "create", "--label", label+"="+value, j.To); err != nil {
			return err
		}
	}
	content, err := json.Marshal(jobs)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	argv := run.AsRoot(self, "copy-volumes", "--volumes", filepath.Join(m.dockerRoot(ctx), "volumes"))
	_, err = run.Output(ctx, run.Cmd{Argv: argv, Stdin: bytes.NewReader(content)})
	return err
}

// CopyVolumes copies volumes below a folder of Docker's, two at a time.
func CopyVolumes(volumes string, jobs []CopyJob) error {
	var g errgroup.Group
	g.SetLimit(2)
	for _, j := range jobs {
		g.Go(func() error {
			to := filepath.Join(volumes, j.To, "_data")
			// Docker has made it, empty; it stays when it is not.
			if err := os.Remove(to); err != nil {
				return err
			}
			return fscopy.Tree(filepath.Join(volumes, j.From, "_data"), to, j.Shared)
		})
	}
	return g.Wait()
}

// keepFiles puts the lab's and the workstation's files beside the disks; save.json comes
// last, so that what was interrupted is none.
func (s *Save) keepFiles(dir string, l *Lab, folder string) error {
	if err := os.MkdirAll(filepath.Join(dir, "lab"), 0o700); err != nil {
		return err
	}
	for _, f := range labFiles() {
		if err := fscopy.Tree(l.path(f), filepath.Join(dir, "lab", f), nil); err != nil {
			return err
		}
	}
	if folder != "" {
		if err := fscopy.Tree(folder, filepath.Join(dir, "files"), nil); err != nil {
			return err
		}
	}
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "save.json.new")
	if err := os.WriteFile(tmp, append(content, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, "save.json"))
}

// Forget removes a frozen lab, a half-made one as well. It is no error when there is none.
func (m Manager) Forget(ctx context.Context, name string) error {
	names, err := All(m.Cache)
	if err != nil {
		return err
	}
	for _, n := range names {
		if l, err := Load(m.Cache, n); err == nil && l.From == name {
			return fmt.Errorf("lab %q was made from %q: lab down --name %s first", n, name, n)
		}
	}
	if err := m.Docker.RemoveVolumes(ctx, docker.LabelSave, name); err != nil {
		return err
	}
	out, err := m.Docker.Run(ctx, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", saveRepository)
	if err != nil {
		return err
	}
	for image := range strings.FieldsSeq(out) {
		host, ok := strings.CutPrefix(image, saveRepository+":"+name+"-")
		if !ok || strings.Contains(host, "-") {
			continue
		}
		if _, err := m.Docker.Run(ctx, "image", "rm", "--force", image); err != nil {
			return err
		}
	}
	return cache.RemoveAll(m.Cache.Save(name))
}

// forgetOld removes the oldest frozen labs beyond KeptSaves.
func (m Manager) forgetOld(ctx context.Context) error {
	all, err := Saves(m.Cache)
	if err != nil {
		return err
	}
	for _, old := range all[min(KeptSaves, len(all)):] {
		if err := m.Forget(ctx, old.Name); err != nil {
			m.Say("%v", err)
			continue
		}
		m.Say("frozen lab %q of %s is gone: %d newer ones are there", old.Name, old.Created.Format(time.DateOnly), KeptSaves)
	}
	return nil
}

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/lab/build"
	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
	"github.com/kubectl-ha/kubectl-ha/test/lab/fscopy"
)

// UpFrom makes the lab called name of a frozen one and starts it: its hosts boot with
// the disks that they had. Hosts that size has beyond them are bare. folder, unless it is empty, is where the workstation's folder
// that was frozen with it is put; it must not be there. The addresses are the frozen
// lab's, since certificates, etcd's members and keepalived have them: two labs of
// one frozen lab can't be up at the same time, and one fails while another lab has the subnet.
func (m Manager) UpFrom(ctx context.Context, name, from string, size Size, folder string) (*Lab, error) {
	s, err := LoadSave(m.Cache, from)
	if err != nil {
		return nil, err
	}
	l, err := m.stateFrom(ctx, name, s, size.atLeast(s.Lab.Size))
	if err != nil {
		return nil, err
	}
	for _, f := range labFiles() {
		if err := fscopy.Tree(filepath.Join(m.Cache.Save(from), "lab", f), l.path(f), nil); err != nil {
			return nil, err
		}
	}
	if folder != "" {
		if err := fscopy.Tree(filepath.Join(m.Cache.Save(from), "files"), folder, nil); err != nil {
			return nil, fmt.Errorf("%w (was it frozen with --files?)", err)
		}
	}
	return l, m.complete(ctx, l)
}

// stateFrom makes the state of a lab from a frozen one.
func (m Manager) stateFrom(ctx context.Context, name string, s *Save, size Size) (*Lab, error) {
	if err := size.Validate(); err != nil {
		return nil, err
	}
	unlock, err := m.Cache.Lock(ctx, "labs", func() { m.Say("another lab is being made; waiting for it") })
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := Load(m.Cache, name); !errors.Is(err, ErrNoLab) {
		return nil, errors.Join(fmt.Errorf("lab %q is there: take it down first (lab down --name %s) or choose another --name", name, name), err)
	}
	if err := build.CheckDiskFor(m.dockerRoot(ctx), build.DiskPerHost*len(hosts(0, size)), fmt.Sprintf("for %d hosts", len(hosts(0, size)))); err != nil {
		return nil, err
	}
	used, err := m.usedSubnets(ctx)
	if err != nil {
		return nil, err
	}
	for _, u := range used {
		if u.Overlaps(Subnet(s.Lab.Index)) || u.Overlaps(NATSubnet(s.Lab.Index)) {
			return nil, fmt.Errorf("the frozen lab %q has its addresses in %s and %s, and that is in use by something else on this machine (lab down, docker network ls)",
				s.Name, Subnet(s.Lab.Index), NATSubnet(s.Lab.Index))
		}
	}
	l := s.Lab
	l.Size, l.Hosts = size, hosts(l.Index, size)
	for i, h := range l.Hosts {
		if f := slices.IndexFunc(s.Lab.Hosts, func(f Host) bool { return f.Name == h.Name }); f >= 0 {
			l.Hosts[i] = s.Lab.Hosts[f]
			l.Hosts[i].Frozen = true
		}
	}
	l.Name, l.From, l.Created, l.dir = name, s.Name, time.Now().UTC(), m.Cache.Lab(name)
	if err := os.RemoveAll(l.dir); err != nil {
		return nil, err
	}
	return &l, l.save()
}

// volume is Docker's name for the /var of a host that was made from a frozen one.
func (l *Lab) volume(host string) string { return "lab-" + l.container(host) }

// copyDisks makes the disks of hosts that are yet to be created from a frozen lab's.
func (m Manager) copyDisks(ctx context.Context, l *Lab, hosts []Host) error {
	s, err := LoadSave(m.Cache, l.From)
	if err != nil {
		return err
	}
	var jobs []CopyJob
	for _, h := range hosts {
		if !h.Frozen {
			continue
		}
		// One that is there was left half-made by an interrupted run.
		if _, err := m.Docker.Run(ctx, "volume", "rm", "--force", l.volume(h.Name)); err != nil {
			return err
		}
		jobs = append(jobs, CopyJob{From: s.volume(h.Name), To: l.volume(h.Name), Shared: s.Shared[h.Name]})
	}
	return m.copyVolumes(ctx, docker.LabelLab, l.Name, jobs)
}

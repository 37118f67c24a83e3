package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/test/lab/build"
	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
)

// Manager makes, changes and unmakes labs.
type Manager struct {
	Cache  cache.Dir
	Docker docker.Client
	// Say reports progress.
	Say func(format string, args ...any)
}

// Up makes the lab called name with hosts of that size and with these traits, or
// completes and starts the one that there is. It fails when there is one of
// another size or with other hosts.
func (m Manager) Up(ctx context.Context, name string, size Size, w Wishes) (*Lab, error) {
	if err := size.Validate(); err != nil {
		return nil, err
	}
	if _, err := m.registryProgram(); err != nil {
		return nil, err
	}
	if err := m.ensureImages(ctx, name, size, w); err != nil {
		return nil, err
	}
	l, err := m.ensureState(ctx, name, size, w)
	if err != nil {
		return nil, err
	}
	return l, m.complete(ctx, l)
}

// complete makes what a lab with a state lacks, and starts it.
func (m Manager) complete(ctx context.Context, l *Lab) error {
	registry, err := m.registryProgram()
	if err != nil {
		return err
	}
	if err := l.ensureIdentities(); err != nil {
		return err
	}
	if err := l.copySelf(); err != nil {
		return err
	}
	if err := m.raiseLimits(); err != nil {
		return err
	}
	if err := l.ensureNetwork(ctx, m.Docker); err != nil {
		return err
	}
	created, err := m.ensureContainers(ctx, l, registry)
	if err != nil {
		return err
	}
	if err := m.Start(ctx, l, nil); err != nil {
		return err
	}
	// What frozen hosts were when they were bare is known.
	bare := slices.DeleteFunc(created, func(h Host) bool { return h.Frozen })
	return m.takeBaselines(ctx, l, l.withoutBaseline(bare))
}

// registryProgram is where the built registry is, and an error when nothing was built.
func (m Manager) registryProgram() (string, error) {
	found, err := filepath.Glob(filepath.Join(m.Cache.Build("registry-"+build.RegistryVersion+"-*"), "bin", "registry"))
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("nothing is built yet: run lab build first")
	}
	return found[len(found)-1], nil
}

// ensureImages makes the images that the hosts of a new lab need and that are
// not there: those of other kinds than lab build has made.
func (m Manager) ensureImages(ctx context.Context, name string, size Size, w Wishes) error {
	list := hosts(0, size)
	if err := w.grant(list); err != nil {
		return err
	}
	if _, err := Load(m.Cache, name); !errors.Is(err, ErrNoLab) {
		return err
	}
	var kinds []build.HostKind
	for _, h := range list {
		kinds = append(kinds, h.kind())
	}
	return build.HostImages(ctx, build.Options{Cache: m.Cache, Docker: m.Docker, Out: sayer(m.Say)}, kinds)
}

// sayer writes what a build reports, line by line, as a lab's progress.
type sayer func(format string, args ...any)

func (s sayer) Write(line []byte) (int, error) {
	s("%s", bytes.TrimSuffix(line, []byte("\n")))
	return len(line), nil
}

// newHosts are the hosts of a new lab, with the references of their images.
func newHosts(index int, size Size, w Wishes) ([]Host, map[string]string, error) {
	list, images := hosts(index, size), map[string]string{}
	if err := w.grant(list); err != nil {
		return nil, nil, err
	}
	for _, h := range list {
		ref, err := h.kind().Ref()
		if err != nil {
			return nil, nil, err
		}
		images[h.Name] = ref
	}
	return list, images, nil
}

// ensureState loads the lab's state or makes a new one with a free subnet.
func (m Manager) ensureState(ctx context.Context, name string, size Size, w Wishes) (*Lab, error) {
	unlock, err := m.Cache.Lock(ctx, "labs", func() { m.Say("another lab is being made; waiting for it") })
	if err != nil {
		return nil, err
	}
	defer unlock()
	l, err := Load(m.Cache, name)
	if err == nil {
		if l.Size != size {
			return nil, fmt.Errorf("lab %q is there with %d control planes, %d workers and %d etcd hosts: take it down first (lab down --name %s) or choose another --name",
				name, l.Size.ControlPlanes, l.Size.Workers, l.Size.Etcd, name)
		}
		return l, l.hasTraits(w)
	}
	if !errors.Is(err, ErrNoLab) {
		return nil, err
	}
	count := size.ControlPlanes + size.Workers + size.Etcd
	if err := build.CheckDiskFor(m.dockerRoot(ctx), build.DiskPerHost*count, fmt.Sprintf("for %d hosts", count)); err != nil {
		return nil, err
	}
	used, err := m.usedSubnets(ctx)
	if err != nil {
		return nil, err
	}
	index, err := freeIndex(used)
	if err != nil {
		return nil, err
	}
	list, images, err := newHosts(index, size, w)
	if err != nil {
		return nil, err
	}
	l = &Lab{Name: name, Index: index, Created: time.Now().UTC(), Size: size, Image: images[list[0].Name], Images: images,
		Hosts: list, dir: m.Cache.Lab(name)}
	return l, l.save()
}

// dockerRoot is where Docker keeps containers and volumes.
func (m Manager) dockerRoot(ctx context.Context) string {
	out, err := m.Docker.Run(ctx, "info", "--format", "{{.DockerRootDir}}")
	if err != nil || out == "" {
		// Only the check of free space depends on it.
		return "/var/lib/docker"
	}
	return out
}

// usedSubnets are those of Docker's networks, of the machine's interfaces and
// of the labs that are being made.
func (m Manager) usedSubnets(ctx context.Context) ([]netip.Prefix, error) {
	var used []netip.Prefix
	networks, err := m.Docker.Networks(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range networks {
		for _, c := range n.IPAM.Config {
			if p, err := netip.ParsePrefix(c.Subnet); err == nil {
				used = append(used, p)
			}
		}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			used = append(used, p.Masked())
		}
	}
	names, err := All(m.Cache)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		other, err := Load(m.Cache, n)
		if err != nil {
			return nil, err
		}
		used = append(used, Subnet(other.Index))
	}
	return used, nil
}

// copySelf keeps a copy of this program for the mirror's container, so that a
// new build of it does not pull the old one from under a running mirror.
func (l *Lab) copySelf() error {
	if _, err := os.Stat(l.path("lab")); err == nil {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	content, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	return os.WriteFile(l.path("lab"), content, 0o755)
}

// ensureContainers makes the containers that are not there, and returns the
// hosts that it made.
func (m Manager) ensureContainers(ctx context.Context, l *Lab, registry string) ([]Host, error) {
	there, err := m.Docker.Containers(ctx, docker.LabelLab, l.Name)
	if err != nil {
		return nil, err
	}
	caps, err := machineCapabilities()
	if err != nil {
		return nil, err
	}
	var created []Host
	for _, h := range l.Hosts {
		c, ok := there[l.container(h.Name)]
		if ok && c.State.Status != "created" {
			continue
		}
		created = append(created, h)
		if ok {
			// Never started, so maybe left half-made by an interrupted run.
			if _, err := m.Docker.Run(ctx, "rm", "--volumes", c.Name); err != nil {
				return nil, err
			}
		}
	}
	if l.From != "" && len(created) > 0 {
		if err := m.copyDisks(ctx, l, created); err != nil {
			return nil, err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, h := range created {
		g.Go(func() error { return l.createHost(gctx, m.Docker, h, caps) })
	}
	if _, ok := there[l.container(MirrorName)]; !ok {
		g.Go(func() error { return l.createMirror(gctx, m.Docker, m.Cache.Files(), m.Cache.Registry(), registry) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if len(created) > 0 {
		m.Say("%d hosts made in %s", len(created), Subnet(l.Index))
	}
	return created, nil
}

package prepare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	goruntime "runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/netfilter"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// manifestsDir is where kubeadm's kubelets find their static pods.
const manifestsDir = "/etc/kubernetes/manifests"

// preparer holds what one run of the task works with.
type preparer struct {
	h        *host.Host
	env      node.Env
	spec     Spec
	runtime  runtime
	blobs    *blobs
	progress func(format string, args ...any)
	// executable is the running agent's own file.
	executable string
	mayRaise   bool
	// chains lists those of the packet filter.
	chains func() ([]string, error)

	mu   sync.Mutex
	data Data
}

// Run makes the host able to run Kubernetes, or with only the etcd role etcd.
// What is there already, by its digest, is neither fetched nor touched.
func Run(ctx context.Context, env node.Env, spec Spec) (any, error) {
	client, err := swarm.NewClient(spec.Source, env.Host.Path(StoreDir))
	if err != nil {
		return nil, fmt.Errorf("the source of blobs: %w", err)
	}
	defer client.Close()
	p := &preparer{h: env.Host, env: env, spec: spec, progress: env.Progress, executable: host.SelfPath,
		runtime: containerdRuntime{socket: Socket}, chains: netfilter.Chains}
	return p.run(ctx, client)
}

func (p *preparer) run(ctx context.Context, from fetcher) (any, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // Ends fetches that nobody waits for any more.
	p.blobs = newBlobs(ctx, p.h, from, p.spec.Contents.Binaries, nil, p.progress)
	if err := p.installAgent(ctx); err != nil {
		return nil, err
	}
	var err error
	if p.spec.kube() {
		err = p.node(ctx)
	} else {
		_, err = p.installBinaries(ctx, bundle.ComponentEtcd)
	}
	p.data.FetchedBytes = p.blobs.bytes.Load()
	return p.data, err
}

func (p *preparer) check() (err error) {
	if arch := p.spec.Contents.Arch; arch != "" && arch != goruntime.GOARCH {
		return host.WithHint(fmt.Errorf("this host is %s, the bundle is for %s", goruntime.GOARCH, arch),
			"make a bundle for this architecture; all hosts of a cluster must have the same")
	}
	if len(p.spec.Roles) == 0 {
		return errors.New("the host has no role, so there is nothing to prepare it for")
	}
	if err := checkEnvironment(p.spec.Environment); err != nil {
		return err
	}
	if p.spec.kube() {
		p.mayRaise, err = mayRaiseLimits(p.h)
	}
	return err
}

func (p *preparer) warn(format string, args ...any) {
	p.env.Sink.Emit(report.Event{Kind: report.Warning, Message: fmt.Sprintf(format, args...)})
}

func (p *preparer) values() values {
	return values{Containerd: p.path("containerd"), Kubelet: p.path("kubelet"),
		MayRaiseLimits: p.mayRaise, SandboxImage: p.spec.SandboxImage}
}

// path is where the bundle puts a binary.
func (p *preparer) path(name string) string {
	if b, ok := p.spec.Contents.Binary(name); ok {
		return b.Path
	}
	return "/usr/local/bin/" + name
}

// node prepares a host that runs pods. The container runtime takes the longest,
// so all else goes on beside it.
func (p *preparer) node(ctx context.Context) error {
	if err := p.announce(ctx); err != nil {
		return err
	}
	if err := kernel(ctx, p.env); err != nil {
		return err
	}
	foreign, err := p.foreignContainerd(ctx)
	if err != nil {
		return err
	}
	rest := []string{bundle.ComponentEtcd, bundle.ComponentKubernetes, bundle.ComponentCNI}
	if foreign {
		if _, err := p.h.LookPath("runc"); err != nil {
			rest = append(rest, bundle.ComponentRunc)
		}
	}
	// A kubelet that starts without its directory of static pods looks for it at
	// growing intervals of up to 20 s, by which a host's promotion would be late.
	if _, err := p.h.Mkdir(ctx, manifestsDir, 0o700, os.Getuid(), os.Getgid()); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if foreign {
			return p.useForeign(ctx)
		}
		return p.installContainerd(ctx)
	})
	group.Go(func() error {
		if _, err := p.installBinaries(ctx, rest...); err != nil {
			return err
		}
		return p.kubelet(ctx)
	})
	return group.Wait()
}

// installBinaries installs the binaries of some components, side by side.
func (p *preparer) installBinaries(ctx context.Context, components ...string) (changed bool, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(goruntime.NumCPU())
	for _, b := range p.spec.Contents.Binaries {
		if !slices.Contains(components, b.Component) {
			continue
		}
		group.Go(func() error {
			f := host.File{Path: b.Path, Mode: b.Mode.Perm(), Note: b.Component + " " + b.Version}
			now, err := p.h.InstallFile(ctx, f, b.SHA256, func() (io.ReadCloser, error) { return p.blobs.binary(ctx, b) })
			if err != nil {
				return fmt.Errorf("install %s: %w", b.Name, err)
			}
			if now {
				p.progress("installed %s", b.Path)
				p.mu.Lock()
				defer p.mu.Unlock()
				p.data.InstalledBinaries++
				changed = true
			}
			return nil
		})
	}
	return changed, group.Wait()
}

// installAgent puts this very program where later Jobs and the virtual IP's
// watch find it.
func (p *preparer) installAgent(ctx context.Context) error {
	_, err := p.h.InstallAgent(ctx, p.executable)
	return err
}

// kubelet writes the kubelet's unit and has it start at boot. kubeadm starts
// it; one that runs already is restarted when its unit has changed.
func (p *preparer) kubelet(ctx context.Context) error {
	changed := false
	for path, name := range map[string]string{unitDir + kubeletUnit: "kubelet.service",
		unitDir + kubeletUnit + ".d/10-kubeadm.conf": "10-kubeadm.conf"} {
		content, err := render(name, p.values())
		if err != nil {
			return err
		}
		now, err := p.h.WriteFile(ctx, host.File{Path: path, Mode: 0o644, Content: content, Note: "the kubelet's systemd unit"})
		if err != nil {
			return err
		}
		changed = changed || now
	}
	proxy, err := p.proxy(ctx, kubeletUnit)
	if err != nil {
		return err
	}
	u, err := p.h.Unit(ctx, kubeletUnit)
	if err != nil {
		return err
	}
	if u.Active() {
		_, err = p.h.EnsureUnit(ctx, kubeletUnit, changed || proxy)
	} else {
		_, err = p.h.EnableUnit(ctx, kubeletUnit)
	}
	return err
}

package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
)

// builder carries one run of Build.
type builder struct {
	Options
	*progress
	// bin maps a component and version ("etcd v3.6.16") to its folder of binaries.
	bin map[string]string
}

// Build makes everything that is not in the cache yet, and publishes it into
// the mirror's tree and registry and into Docker's image store.
func Build(ctx context.Context, o Options) error {
	if err := o.validate(); err != nil {
		return err
	}
	b := &builder{Options: o, progress: &progress{out: o.Out, begin: time.Now()}, bin: map[string]string{}}
	unlock, err := o.Cache.Lock(ctx, "build", func() { b.line("another build runs; waiting for it") })
	if err != nil {
		return err
	}
	defer unlock()
	if err := checkDisk(o); err != nil {
		return err
	}
	if err := b.installPackages(ctx); err != nil {
		return err
	}
	if len(o.Only) > 0 {
		if err := b.buildPrograms(ctx); err != nil {
			return err
		}
		b.line("%s: built in %s; nothing is published", strings.Join(o.Only, ", "), o.Cache)
		return nil
	}
	// Go keeps all cores busy by itself, so its builds come one after the other;
	// the root file systems, which mostly wait for dpkg, are made beside them.
	g, gctx := errgroup.WithContext(ctx)
	var roots rootTars
	g.Go(func() (err error) {
		roots, err = b.buildRoots(gctx)
		return err
	})
	g.Go(func() error { return b.buildPrograms(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	if err := b.publish(ctx, roots); err != nil {
		return err
	}
	b.line("the lab's parts are ready in %s", o.Cache)
	return nil
}

// buildPrograms makes all that is compiled, or what Options.Only names of it.
func (b *builder) buildPrograms(ctx context.Context) error {
	components := commonComponents()
	for _, v := range b.Etcd {
		components = append(components, etcdComponent(v))
	}
	if b.wants(kubernetesName) {
		for _, v := range b.Kubernetes {
			if err := b.buildKubernetes(ctx, v); err != nil {
				return err
			}
		}
	}
	for _, c := range components {
		if !b.wants(c.name) {
			continue
		}
		if err := b.buildComponent(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// kubernetesKey is the cache key of a Kubernetes version. It names the recipe
// without downloading the module, so that a cached build needs no network.
func kubernetesKey(version string) string {
	return cache.Key("kubernetes", version, append(kubernetesCommands(), kubernetesLDFlags(version), "module rewriting 1")...)
}

func (b *builder) buildKubernetes(ctx context.Context, version string) error {
	key := kubernetesKey(version)
	err := b.makeCached(key, kubernetesName+" "+version, func(dir string, log io.Writer) error {
		build, err := kubernetesBuild(ctx, version)
		if err != nil {
			return err
		}
		return build.run(ctx, dir, log)
	})
	b.bin["kubernetes "+version] = b.Cache.Build(key) + "/bin"
	return err
}

func (b *builder) buildComponent(ctx context.Context, c component) error {
	recipe, err := c.recipe()
	if err != nil {
		return err
	}
	key := cache.Key(c.name, c.version, recipe)
	err = b.makeCached(key, c.name+" "+c.version, func(dir string, log io.Writer) error {
		if c.before != nil {
			if err := c.before(dir); err != nil {
				return err
			}
		}
		return c.build.run(ctx, dir, log)
	})
	b.bin[c.name+" "+c.version] = b.Cache.Build(key) + "/bin"
	return err
}

// binaries is the folder of a component's programs.
func (b *builder) binaries(name, version string) string { return b.bin[name+" "+version] }

// publish puts what was built where a lab takes it from.
func (b *builder) publish(ctx context.Context, roots rootTars) error {
	if err := b.publishFiles(ctx); err != nil {
		return err
	}
	if err := b.proxyPrograms(roots.proxies); err != nil {
		return err
	}
	layers, err := b.makeLayers(roots)
	if err != nil {
		return err
	}
	images, err := b.allImages(ctx, layers)
	if err != nil {
		return err
	}
	if err := b.pushImages(ctx, images); err != nil {
		return err
	}
	if err := b.publishExtra(ctx); err != nil {
		return err
	}
	for _, root := range roots.hosts {
		if err := b.importHostImage(ctx, root); err != nil {
			return err
		}
	}
	return nil
}

// Program is a built program of a Kubernetes version.
func Program(c cache.Dir, version, name string) (string, error) {
	path := c.Build(kubernetesKey(version)) + "/bin/" + name
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("programs of Kubernetes %s are not built (lab build --kubernetes %s): %w", version, version, err)
	}
	return path, nil
}

// newest returns the highest of some versions of the form v1.2.3.
func newest(versions []string) string {
	return slices.MaxFunc(versions, compareVersions)
}

// compareVersions orders versions of the form v1.2.3.
func compareVersions(a, b string) int {
	var x, y [3]int
	// Both have passed validate; one that has not counts as v0.0.0.
	_, _ = fmt.Sscanf(a, "v%d.%d.%d", &x[0], &x[1], &x[2])
	_, _ = fmt.Sscanf(b, "v%d.%d.%d", &y[0], &y[1], &y[2])
	return slices.Compare(x[:], y[:])
}

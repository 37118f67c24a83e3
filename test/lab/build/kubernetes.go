package build

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/mod/modfile"
)

// kubernetesCommands are the programs of Kubernetes that a cluster needs.
func kubernetesCommands() []string {
	return []string{"kubeadm", "kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubectl"}
}

// kubernetesBuild is the build of one Kubernetes version. The published module
// names its own parts as v0.0.0 in ./staging, which only its repository has;
// each is published by itself as v0.MINOR.PATCH.
func kubernetesBuild(ctx context.Context, version string) (goBuild, error) {
	dir, err := moduleDir(ctx, "k8s.io/kubernetes@"+version)
	if err != nil {
		return goBuild{}, fmt.Errorf("%w (not every Kubernetes version is published as a Go module)", err)
	}
	upstream, goSum, err := readGoMod(dir)
	if err != nil {
		return goBuild{}, err
	}
	goMod, err := rewriteKubernetesGoMod(upstream, version)
	if err != nil {
		return goBuild{}, fmt.Errorf("go.mod of k8s.io/kubernetes %s: %w", version, err)
	}
	b := goBuild{ldflags: kubernetesLDFlags(version), goMod: goMod, goSum: append(goSum, '\n')}
	for _, c := range kubernetesCommands() {
		b.packages = append(b.packages, "k8s.io/kubernetes/cmd/"+c)
	}
	return b, nil
}

// kubernetesLDFlags stamps the version as upstream's build does.
func kubernetesLDFlags(version string) string {
	const p = "k8s.io/component-base/version"
	minor := strings.Split(version, ".")[1]
	return fmt.Sprintf("%[1]s -X %[2]s.gitVersion=%[3]s -X %[2]s.gitMajor=1 -X %[2]s.gitMinor=%[4]s "+
		"-X %[2]s.gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion=%[3]s", stripped, p, version, minor)
}

// rewriteKubernetesGoMod turns k8s.io/kubernetes' go.mod into one of a module
// that requires it: parts of ./staging become their published versions, the
// samples (which are not published in step) go.
func rewriteKubernetesGoMod(upstream []byte, version string) ([]byte, error) {
	in, err := modfile.Parse("go.mod", upstream, nil)
	if err != nil {
		return nil, err
	}
	if in.Module == nil || in.Module.Mod.Path != "k8s.io/kubernetes" {
		return nil, fmt.Errorf("it is not k8s.io/kubernetes'")
	}
	staging := "v0." + strings.TrimPrefix(version, "v1.")
	out := new(modfile.File)
	if err := out.AddModuleStmt("kubectl-ha-lab-build"); err != nil {
		return nil, err
	}
	if in.Go != nil {
		if err := out.AddGoStmt(in.Go.Version); err != nil {
			return nil, err
		}
	}
	for _, g := range in.Godebug {
		if err := out.AddGodebug(g.Key, g.Value); err != nil {
			return nil, err
		}
	}
	for _, r := range in.Require {
		v := r.Mod.Version
		if v == "v0.0.0" && strings.HasPrefix(r.Mod.Path, "k8s.io/") {
			v = staging
		}
		out.AddNewRequire(r.Mod.Path, v, r.Indirect)
	}
	out.AddNewRequire("k8s.io/kubernetes", version, false)
	for _, r := range in.Replace {
		if strings.HasPrefix(r.Old.Path, "k8s.io/sample-") {
			continue
		}
		path, v := r.New.Path, r.New.Version
		if strings.HasPrefix(path, "./staging/src/") {
			path, v = strings.TrimPrefix(path, "./staging/src/"), staging
		}
		if err := out.AddReplace(r.Old.Path, r.Old.Version, path, v); err != nil {
			return nil, err
		}
	}
	out.Cleanup()
	return out.Format()
}

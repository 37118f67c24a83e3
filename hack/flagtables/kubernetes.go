package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// kubernetes is the source of one version: the main module's, and its parts'.
type kubernetes struct {
	minor string
	dirs  map[string]string
}

func newKubernetes(version string) (*kubernetes, error) {
	k := &kubernetes{minor: minor(version), dirs: map[string]string{}}
	for _, part := range []string{"kubernetes", "apiserver", "client-go", "component-base", "controller-manager", "cloud-provider", "apiextensions-apiserver", "kubelet", "kube-proxy"} {
		v := version
		if part != "kubernetes" {
			v = "v0." + strings.TrimPrefix(version, "v1.")
		}
		dir, err := download("k8s.io/" + part + "@" + v)
		if err != nil {
			return nil, err
		}
		k.dirs[part] = dir
	}
	return k, nil
}

// dir is the folder of a package: apiserver/pkg/server/options.
func (k *kubernetes) dir(pkg string) string {
	part, rest, _ := strings.Cut(pkg, "/")
	return filepath.Join(k.dirs[part], rest)
}

// everywhere are the packages whose flags all components have.
var everywhere = []string{"component-base/logs", "component-base/logs/api/v1", "component-base/cli/globalflag", "component-base/version/verflag"}

// components maps each to the packages that register its flags; a package may be
// followed by the files that count.
var components = map[string][]string{
	"kube-apiserver": {"kubernetes/cmd/kube-apiserver/app/options", "kubernetes/pkg/controlplane/apiserver/options", "kubernetes/pkg/kubeapiserver/options",
		"apiserver/pkg/server/options", "component-base/compatibility", "component-base/featuregate", "component-base/metrics",
		"kubernetes/plugin/pkg/admission/defaulttolerationseconds"},
	"kube-controller-manager": {"kubernetes/cmd/kube-controller-manager/app/options", "controller-manager/options", "controller-manager/pkg/leadermigration/options", "component-base/metrics", "cloud-provider/options", "component-base/config/options",
		"apiserver/pkg/server/options authentication.go authorization.go serving.go", "component-base/compatibility", "component-base/featuregate"},
	"kube-scheduler": {"kubernetes/cmd/kube-scheduler/app/options", "component-base/config/options", "component-base/metrics",
		"apiserver/pkg/server/options authentication.go authorization.go serving.go", "component-base/compatibility", "component-base/featuregate"},
	"kubelet": {"kubernetes/cmd/kubelet/app/options"},
}

// others are flags of those packages that the component does not register: of
// apiservers that ask another one, and of the cloud's controller-manager.
var others = map[string][]string{
	"kube-apiserver": {"kubeconfig", "authentication-kubeconfig", "authentication-skip-lookup", "authentication-tolerate-lookup-failure",
		"authorization-kubeconfig", "authorization-always-allow-paths"},
	"kube-controller-manager": {"concurrent-node-syncs", "concurrent-node-status-updates", "node-status-update-frequency", "webhooks",
		"webhook-bind-address", "webhook-cert-dir", "webhook-disable-http2-serving", "webhook-secure-port", "webhook-tls-cert-file",
		"webhook-tls-cipher-suites", "webhook-tls-min-version", "webhook-tls-private-key-file", "webhook-tls-sni-cert-key", "webhook-tls-curve-preferences"},
}

func (k *kubernetes) flags(to table) error {
	for component, packages := range components {
		for _, p := range append(append([]string{}, packages...), everywhere...) {
			words := strings.Fields(p)
			s, err := parse(k.dir(words[0]), words[1:]...)
			if err != nil {
				if os.IsNotExist(err) {
					continue // Newer than this version.
				}
				return fmt.Errorf("%s of %s: %w", p, component, err)
			}
			s.flags(func(name, kind string) {
				// v is added below, for all.
				if name != "v" && name != "vmodule" && !slices.Contains(others[component], name) {
					to.add(k.minor, component, name, kind)
				}
			})
			s.registered(func(name string) { to.add(k.minor, component, name, "other") })
		}
		for _, f := range []string{"v int", "vmodule other", "version other", "help bool"} {
			to.add(k.minor, component, f)
		}
	}
	// Under a constant of another module since 1.37.
	to.add(k.minor, "kubelet", "housekeeping-interval other")
	return nil
}

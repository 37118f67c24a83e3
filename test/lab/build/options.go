package build

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
)

// Versions of what every lab has. Upstream's own version strings.
const (
	ContainerdVersion       = "v2.4.2"
	RuncVersion             = "v1.3.3"
	CNIPluginsVersion       = "v1.9.1"
	CoreDNSVersion          = "v1.14.7"
	FlannelVersion          = "v0.28.10"
	FlannelCNIPluginVersion = "v1.9.0-flannel1"
	RegistryVersion         = "v3.1.2"
	MetricsServerVersion    = "v0.9.0"
	NodeExporterVersion     = "v1.12.1"
	PrometheusVersion       = "v3.13.5"
	HAProxyTag              = "3.0.21"
	NginxTag                = "1.28.3"
	debianSuite             = "bookworm"
)

// DefaultKubernetes are the Kubernetes versions built when none is named.
func DefaultKubernetes() []string { return []string{"v1.36.3"} }

// DefaultEtcd are the etcd versions built when none is named: the one that a bundle gets.
// Others take two minutes each, and are built by who needs one.
func DefaultEtcd() []string { return []string{"v3.6.16"} }

// UpgradeEtcd are the etcd versions that tests of etcd's upgrade need, the oldest first: one of each
// minor version, in the order in which a cluster goes through them.
func UpgradeEtcd() []string { return []string{"v3.5.35", "v3.6.16", "v3.7.3"} }

// Options say what to build, where, and where to report.
type Options struct {
	// Cache is where builds are kept.
	Cache cache.Dir
	// Docker gets the hosts' image.
	Docker docker.Client
	// Kubernetes and Etcd are the versions to build, such as v1.36.3.
	Kubernetes, Etcd []string
	// Only are the programs to build (see Programs), of which nothing is published then:
	// for tests that run real programs without a lab. Empty for all that a lab needs.
	Only []string
	// HostOS are the systems to make plain hosts' images of, such as debian-13.
	// Images of other kinds of hosts are made when a lab wants one (HostImages).
	HostOS []string
	// Extra is a folder with images/*.tar, as docker save writes them, and files/<upstream
	// host>/<path>, for what can't be built: the mirror serves both. Empty for none.
	Extra string
	// Out gets the progress lines.
	Out io.Writer
}

var versionPattern = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+$`)

// validate sorts out versions that can't be any.
func (o Options) validate() error {
	for _, v := range slices.Concat(o.Kubernetes, o.Etcd) {
		if !versionPattern.MatchString(v) {
			return fmt.Errorf("version %q is not of the form v1.36.3", v)
		}
	}
	for _, os := range o.HostOS {
		if err := (HostKind{OS: os}).Validate(); err != nil {
			return err
		}
	}
	for _, name := range o.Only {
		if !slices.Contains(Programs(), name) {
			return fmt.Errorf("--only %q: %s are possible", name, strings.Join(Programs(), ", "))
		}
	}
	if len(o.Kubernetes) == 0 || len(o.Etcd) == 0 {
		return fmt.Errorf("name at least one Kubernetes and one etcd version")
	}
	return nil
}

// kubernetesName is the name of Kubernetes' programs among Programs.
const kubernetesName = "kubernetes"

// Programs are the names of what is compiled, in the order in which it is.
func Programs() []string {
	names := []string{kubernetesName}
	for _, c := range append(commonComponents(), etcdComponent("")) {
		names = append(names, c.name)
	}
	return names
}

// wants tells whether the programs of this name are to be built.
func (o Options) wants(name string) bool { return len(o.Only) == 0 || slices.Contains(o.Only, name) }

package host

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
)

// Lab is a lab's state as it is kept in its folder.
type Lab struct {
	Name string `json:"name"`
	// Index is the third octet of its subnet.
	Index   int       `json:"index"`
	Created time.Time `json:"created"`
	Size    Size      `json:"size"`
	// From is the frozen lab that it was made from, if it was.
	From string `json:"from,omitempty"`
	// Image is the reference of the mirror's image, and of the hosts' that Images does not name.
	Image string `json:"image"`
	// Images are the references of the hosts' images, by the hosts' names.
	Images map[string]string `json:"images,omitempty"`
	Hosts  []Host            `json:"hosts"`
	// Partitions are the groups of hosts that are cut off, each from everybody else.
	Partitions [][]string `json:"partitions,omitempty"`
	// Shapes maps a host, or "uplink", to the rate of its link as tc writes it.
	Shapes map[string]string `json:"shapes,omitempty"`

	dir string
}

// ErrNoLab is what Load returns when there is no lab of that name.
var ErrNoLab = errors.New("no such lab; lab up makes one")

// Load reads the state of the lab called name.
func Load(c cache.Dir, name string) (*Lab, error) {
	l := &Lab{dir: c.Lab(name)}
	content, err := os.ReadFile(l.path("state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%q: %w", name, ErrNoLab)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(content, l); err != nil {
		return nil, fmt.Errorf("%s: %w", l.path("state.json"), err)
	}
	return l, nil
}

// All returns the names of all labs that have a state.
func All(c cache.Dir) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(c.Labs(), "*", "state.json"))
	names := make([]string, 0, len(found))
	for _, f := range found {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	return names, err
}

// image is the reference of a host's image.
func (l *Lab) image(h Host) string { return cmp.Or(l.Images[h.Name], l.Image) }

// save writes the state in one go.
func (l *Lab) save() error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	content, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	tmp := l.path("state.json.new")
	if err := os.WriteFile(tmp, append(content, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, l.path("state.json"))
}

func (l *Lab) path(name string) string { return filepath.Join(l.dir, name) }

// IdentityFile is the private key that logs in to every host.
func (l *Lab) IdentityFile() string { return l.path("id_ed25519") }

// KnownHostsFile has every host's key.
func (l *Lab) KnownHostsFile() string { return l.path("known_hosts") }

// Kubeconfig is where a cluster's kubeconfig is looked for first.
func (l *Lab) Kubeconfig() string { return l.path(l.Name + ".kubeconfig") }

// Gateway is the machine's own address in the lab's network.
func (l *Lab) Gateway() string { return address(l.Index, gatewayOctet) }

// VirtualIP is the address that no host has, for the cluster's API.
func (l *Lab) VirtualIP() string { return address(l.Index, vipOctet) }

// MirrorAddress is the mirror's address.
func (l *Lab) MirrorAddress() string { return address(l.Index, mirrorOctet) }

// MirrorURL is the mirror as a Cluster file names it.
func (l *Lab) MirrorURL() string { return "http://" + l.MirrorAddress() }

// network is the Docker network's name, bridge the bridge behind it.
func (l *Lab) network() string { return l.Name + "-net" }
func (l *Lab) bridge() string  { return "lab77-" + strconv.Itoa(l.Index) }

// container is the container of a host or the mirror.
func (l *Lab) container(host string) string { return l.Name + "-" + host }

// MirrorName is the mirror's name where a host's name may stand.
const MirrorName = "mirror"

// Container is the container of the host with that name; the mirror counts as one.
func (l *Lab) Container(host string) (string, error) {
	if host == MirrorName {
		return l.container(host), nil
	}
	if _, err := l.Host(host); err != nil {
		return "", err
	}
	return l.container(host), nil
}

// Host is the host with that name.
func (l *Lab) Host(name string) (Host, error) {
	for _, h := range l.Hosts {
		if h.Name == name {
			return h, nil
		}
	}
	names := make([]string, 0, len(l.Hosts))
	for _, h := range l.Hosts {
		names = append(names, h.Name)
	}
	return Host{}, fmt.Errorf("lab %q has no host %q, only %v", l.Name, name, names)
}

// WithRole are the hosts of a role.
func (l *Lab) WithRole(r Role) []Host {
	return slices.DeleteFunc(slices.Clone(l.Hosts), func(h Host) bool { return h.Role != r })
}

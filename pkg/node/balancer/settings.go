package balancer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Settings are what an Operation decides; the pods have them as a file.
type Settings struct {
	// Type is haproxy or nginx.
	Type string `json:"type"`
	// Port is where it listens, on every address of the host: the virtual IP comes and
	// goes without anybody being told.
	Port int32 `json:"port"`
	// APIServerPort is that of every apiserver.
	APIServerPort int32 `json:"apiServerPort"`
	// Backends are the control planes as the Operation knew them, for as long as no
	// apiserver can be asked which there are.
	Backends []Backend `json:"backends"`
}

// Backend is one control plane.
type Backend struct {
	// Name is its node's.
	Name string `json:"name"`
	// Address is its IP address.
	Address string `json:"address"`
}

// ParseSettings reads the settings, and refuses what no program could be started with.
func ParseSettings(raw []byte) (Settings, error) {
	var s Settings
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("the load balancer's settings: %w", err)
	}
	if s.Type != v1alpha1.LoadBalancerHAProxy && s.Type != v1alpha1.LoadBalancerNginx {
		return s, fmt.Errorf("the load balancer's settings: the type %q is not known", s.Type)
	}
	for _, p := range []int32{s.Port, s.APIServerPort} {
		if p < 1 || p > 65535 {
			return s, fmt.Errorf("the load balancer's settings: %d is no port", p)
		}
	}
	if len(s.Backends) == 0 {
		return s, fmt.Errorf("the load balancer's settings: there is no control plane in them")
	}
	for _, b := range s.Backends {
		if err := b.check(); err != nil {
			return s, fmt.Errorf("the load balancer's settings: %w", err)
		}
	}
	s.Backends = sorted(s.Backends)
	return s, nil
}

// check refuses what must not get into a program's configuration.
func (b Backend) check() error {
	a, err := netip.ParseAddr(b.Address)
	if err != nil {
		return fmt.Errorf("the control plane %q: %w", b.Name, err)
	}
	// What stands behind the % may be any text, also one that ends a line of the
	// configuration that the address is put into; and a node says itself what its is.
	if a.Zone() != "" {
		return fmt.Errorf("the control plane %q: %q is of one link only", b.Name, b.Address)
	}
	if b.Name == "" || len(b.Name) > 253 {
		return fmt.Errorf("%q is no node's name", b.Name)
	}
	for _, r := range b.Name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' {
			return fmt.Errorf("%q is no node's name", b.Name)
		}
	}
	return nil
}

// endpoint is its apiserver's address and port.
func (b Backend) endpoint(port int32) string {
	return net.JoinHostPort(b.Address, strconv.Itoa(int(port)))
}

func sorted(all []Backend) []Backend {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Backend) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// How quickly an apiserver is known to be away, for both programs. Two looks have to
// fail: at worst one interval, two timeouts and one quick interval, 2 s.
const (
	checkInterval = 500 * time.Millisecond
	quickInterval = 200 * time.Millisecond
	checkTimeout  = 600 * time.Millisecond
	checkFall     = 2
	checkRise     = 2

	// backTime is how long nginx does without an apiserver at least: each change is
	// another program, and one that is slow by turns must not make many.
	backTime = 10 * time.Second

	// inheritedFD is the listening socket's file descriptor in the program.
	inheritedFD = 3
	// hangTime is for how long an apiserver fails its checks until its streams are ended.
	hangTime = 4 * time.Second

	// serverName is a name that every apiserver's certificate has from kubeadm,
	// whatever its address.
	serverName = "kubernetes"

	// connectTimeout is for one try at one apiserver, after which another is tried.
	connectTimeout = time.Second
	// idleTimeout is how long a stream may be silent: a watch in which nothing
	// happens, the log of a quiet pod, a shell that somebody left open.
	idleTimeout = 24 * time.Hour
	// Keep-alive finds peers that are gone without a word. Clients may be far away;
	// apiservers are near.
	clientIdle, clientProbe, clientProbes = 20 * time.Second, 10 * time.Second, 3
	serverIdle, serverProbe, serverProbes = 2 * time.Second, 2 * time.Second, 3

	// drainTime is how long streams live on in a program that another has replaced
	// because the control planes changed.
	drainTime = 10 * time.Minute
	// maxConnections bounds what one program carries, where it may open that many files.
	maxConnections = 20000
)

package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
)

// Status is a lab as others see it.
type Status struct {
	Name string `json:"name"`
	// Subnet, Gateway and VirtualIP are addresses of its network; the virtual
	// IP belongs to no host.
	Subnet    string `json:"subnet"`
	Gateway   string `json:"gateway"`
	VirtualIP string `json:"virtualIP"`
	// MirrorURL serves files and images, MirrorState is its container's state.
	MirrorURL   string `json:"mirrorURL"`
	MirrorState string `json:"mirrorState"`
	// SSHKey logs in as root, ops (sudo) and nosudo; KnownHosts has the hosts' keys.
	SSHKey     string `json:"sshKey"`
	KnownHosts string `json:"knownHosts"`
	// Kubeconfig is where lab kubectl looks first. It need not be there.
	Kubeconfig string `json:"kubeconfig"`
	// StateDir is the lab's folder.
	StateDir string `json:"stateDir"`
	// Uplink is the rate that the uplink is limited to, if any.
	Uplink string       `json:"uplink,omitempty"`
	Hosts  []HostStatus `json:"hosts"`
}

// HostStatus is a host as others see it.
type HostStatus struct {
	Host
	// State is running, paused, stopped or missing.
	State string `json:"state"`
	// Container is the name by which Docker knows it.
	Container string `json:"container"`
	// Partitioned says that it is cut off from all but PartitionedWith.
	Partitioned     bool     `json:"partitioned"`
	PartitionedWith []string `json:"partitionedWith,omitempty"`
	// Rate is what its link is limited to, if it is.
	Rate string `json:"rate,omitempty"`
}

// Status observes a lab.
func (m Manager) Status(ctx context.Context, l *Lab) (Status, error) {
	there, err := m.Docker.Containers(ctx, docker.LabelLab, l.Name)
	if err != nil {
		return Status{}, err
	}
	return l.status(there), nil
}

// status puts the state and the observed containers together.
func (l *Lab) status(there map[string]docker.Container) Status {
	s := Status{
		Name: l.Name, Subnet: Subnet(l.Index).String(), Gateway: l.Gateway(), VirtualIP: l.VirtualIP(),
		MirrorURL: l.MirrorURL(), MirrorState: stateOf(there, l.container(MirrorName)),
		SSHKey: l.IdentityFile(), KnownHosts: l.KnownHostsFile(), Kubeconfig: l.Kubeconfig(), StateDir: l.dir,
		Uplink: l.Shapes[Uplink], Hosts: []HostStatus{},
	}
	for _, h := range l.Hosts {
		hs := HostStatus{Host: h, State: stateOf(there, l.container(h.Name)), Container: l.container(h.Name), Rate: l.Shapes[h.Name]}
		for _, g := range l.Partitions {
			if slices.Contains(g, h.Name) {
				hs.Partitioned = true
				hs.PartitionedWith = slices.DeleteFunc(slices.Clone(g), func(n string) bool { return n == h.Name })
			}
		}
		s.Hosts = append(s.Hosts, hs)
	}
	return s
}

// stateOf is a container's state in the lab's words.
func stateOf(there map[string]docker.Container, name string) string {
	c, ok := there[name]
	switch {
	case !ok:
		return "missing"
	case c.State.Status == "running" || c.State.Status == "paused":
		return c.State.Status
	default:
		return "stopped"
	}
}

// Write prints the status for people.
func (s Status) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	lines := [][2]string{
		{"lab", s.Name}, {"subnet", s.Subnet}, {"virtual IP", s.VirtualIP}, {"mirror", s.MirrorURL + " (" + s.MirrorState + ")"},
		{"ssh key", s.SSHKey}, {"known hosts", s.KnownHosts}, {"kubeconfig", s.Kubeconfig},
	}
	if s.Uplink != "" {
		lines = append(lines, [2]string{"uplink", s.Uplink})
	}
	var errs []error
	put := func(format string, args ...any) {
		_, err := fmt.Fprintf(t, format, args...)
		errs = append(errs, err)
	}
	for _, line := range lines {
		put("%s:\t%s\n", line[0], line[1])
	}
	put("\nHOST\tROLE\tADDRESS\tSTATE\n")
	for _, h := range s.Hosts {
		put("%s\t%s\t%s\t%s\n", h.Name, h.Role, h.Address, h.words())
	}
	return errors.Join(append(errs, t.Flush())...)
}

// words is a host's state with what was done to its link.
func (h HostStatus) words() string {
	words := append([]string{h.State}, h.Traits.words()...)
	if h.Partitioned {
		w := "partitioned"
		if len(h.PartitionedWith) > 0 {
			w += " with " + strings.Join(h.PartitionedWith, " ")
		}
		words = append(words, w)
	}
	if h.Rate != "" {
		words = append(words, h.Rate)
	}
	return strings.Join(words, ", ")
}

// remove removes the lab's folder.
func (l *Lab) remove() error { return cache.RemoveAll(l.dir) }

package host

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/test/lab/build"
)

// Traits are what sets a host apart from a plain one. They are the host's from
// its making to its end.
type Traits struct {
	// OS is the system that it runs, such as debian-12 (build.HostOSes).
	OS string `json:"os,omitempty"`
	// Containerd says that the distribution's own containerd runs on it.
	Containerd bool `json:"containerd,omitempty"`
	// NFTablesOnly says that it has nft and no iptables.
	NFTablesOnly bool `json:"nftablesOnly,omitempty"`
	// NAT says that its default route leads over a second network interface.
	NAT bool `json:"nat,omitempty"`
	// NoexecVar says that no program can be started from /var.
	NoexecVar bool `json:"noexecVar,omitempty"`
	// Disk is the size of a disk of its own for /var, such as 6G. None: the machine's disk.
	Disk string `json:"disk,omitempty"`
}

// kind is the image that a host with these traits needs.
func (t Traits) kind() build.HostKind {
	return build.HostKind{OS: cmp.Or(t.OS, build.DefaultHostOS), Containerd: t.Containerd, NFTablesOnly: t.NFTablesOnly}
}

// words are the traits for people; the default system is not worth a word.
func (t Traits) words() []string {
	var words []string
	if t.OS != "" && t.OS != build.DefaultHostOS {
		words = append(words, t.OS)
	}
	for _, w := range []struct {
		on   bool
		word string
	}{{t.Containerd, "containerd"}, {t.NFTablesOnly, "nftables only"}, {t.NAT, "nat"}, {t.NoexecVar, "noexec /var"}, {t.Disk != "", "disk " + t.Disk}} {
		if w.on {
			words = append(words, w.word)
		}
	}
	return words
}

// Choice is a value for all hosts, and others for single ones.
type Choice struct {
	// All is every host's value, "" for none.
	All string
	// Hosts are the values of single hosts, by their names.
	Hosts map[string]string
}

// yes is the value of a trait that a host has or has not.
const yes = "all"

// ParseChoice reads a list of values: one for all hosts, and HOST=VALUE for
// single ones, as in "debian-12,w1=debian-13".
func ParseChoice(text string) (Choice, error) {
	c := Choice{Hosts: map[string]string{}}
	for _, item := range strings.Split(text, ",") {
		name, value, single := strings.Cut(item, "=")
		switch {
		case item == "" || single && (name == "" || value == ""):
			return c, fmt.Errorf("%q: a value for all hosts, and HOST=VALUE for single ones, with commas between", text)
		case single && c.Hosts[name] != "":
			return c, fmt.Errorf("%q names host %s twice", text, name)
		case single:
			c.Hosts[name] = value
		case c.All != "":
			return c, fmt.Errorf("%q has two values for all hosts", text)
		default:
			c.All = item
		}
	}
	return c, nil
}

// ParseHosts reads a list of hosts, as in "w1,w2", or "all".
func ParseHosts(text string) (Choice, error) {
	c := Choice{Hosts: map[string]string{}}
	if text == yes {
		c.All = yes
		return c, nil
	}
	for _, name := range strings.Split(text, ",") {
		if name == "" || strings.Contains(name, "=") {
			return c, fmt.Errorf("%q: names of hosts with commas between, or %s", text, yes)
		}
		c.Hosts[name] = yes
	}
	return c, nil
}

// of is a host's value.
func (c Choice) of(host string) string { return cmp.Or(c.Hosts[host], c.All) }

// Wishes say which traits the hosts of a new lab have.
type Wishes struct {
	// OS and Disk have the values of Traits.
	OS, Disk Choice
	// Containerd, NFTablesOnly, NAT and NoexecVar name hosts.
	Containerd, NFTablesOnly, NAT, NoexecVar Choice
}

// grant gives the hosts the traits that are wished for. It fails on a host
// that there is none of and on what can't be made.
func (w Wishes) grant(hosts []Host) error {
	known := hostNames(hosts)
	for _, c := range []Choice{w.OS, w.Disk, w.Containerd, w.NFTablesOnly, w.NAT, w.NoexecVar} {
		for name := range c.Hosts {
			if !slices.Contains(known, name) {
				return fmt.Errorf("the lab has no host %q, only %v", name, known)
			}
		}
	}
	for i := range hosts {
		n := hosts[i].Name
		t := Traits{
			OS: cmp.Or(w.OS.of(n), build.DefaultHostOS), Disk: w.Disk.of(n), Containerd: w.Containerd.of(n) != "",
			NFTablesOnly: w.NFTablesOnly.of(n) != "", NAT: w.NAT.of(n) != "", NoexecVar: w.NoexecVar.of(n) != "",
		}
		if err := t.kind().Validate(); err != nil {
			return err
		}
		if _, err := diskBytes(t.Disk); err != nil {
			return err
		}
		hosts[i].Traits = t
	}
	return nil
}

// hasTraits fails when the lab's hosts have other traits than those wished for.
func (l *Lab) hasTraits(w Wishes) error {
	want := slices.Clone(l.Hosts)
	if err := w.grant(want); err != nil {
		return err
	}
	for i, h := range l.Hosts {
		// A lab of an earlier version does not name its hosts' system.
		h.OS = cmp.Or(h.OS, build.DefaultHostOS)
		if h.Traits != want[i].Traits {
			return fmt.Errorf("lab %q is there, and its host %s is another (%s) than is wanted (%s): take it down first (lab down --name %s) or choose another --name",
				l.Name, h.Name, h.describe(), want[i].describe(), l.Name)
		}
	}
	return nil
}

// describe names the system and all other traits.
func (t Traits) describe() string {
	words := t.words()
	if os := cmp.Or(t.OS, build.DefaultHostOS); !slices.Contains(words, os) {
		words = append([]string{os}, words...)
	}
	return strings.Join(words, ", ")
}

var diskPattern = regexp.MustCompile(`^([0-9]{1,6})([MG])$`)

// smallestDisk holds what is in a bare host's /var, and a little.
const smallestDisk = 512 << 20

// diskBytes is a disk's size, 0 for none.
func diskBytes(size string) (int64, error) {
	if size == "" {
		return 0, nil
	}
	m := diskPattern.FindStringSubmatch(size)
	if m == nil {
		return 0, fmt.Errorf("disk %q: a number with M or G, such as 6G", size)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("disk %q: %w", size, err)
	}
	n <<= map[string]int{"M": 20, "G": 30}[m[2]]
	if n < smallestDisk {
		return 0, fmt.Errorf("disk %q: at least %dM", size, smallestDisk>>20)
	}
	return n, nil
}

package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// The test's own program connects and listens inside of network namespaces, by these variables.
const (
	dialVariable   = "LAB_TEST_DIAL"
	listenVariable = "LAB_TEST_LISTEN"
)

func TestMain(m *testing.M) {
	switch dial, listen := os.Getenv(dialVariable), os.Getenv(listenVariable); {
	case dial != "":
		fmt.Println(dialed(dial))
	case listen != "":
		l, err := net.Listen("tcp", listen)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("listening")
		for {
			c, err := l.Accept()
			if err != nil {
				os.Exit(1)
			}
			_ = c.Close() // who connected has seen enough
		}
	default:
		os.Exit(m.Run())
	}
}

// dialed says how a connection went: connected, refused, another error, or
// late when that took longer than a first repetition of the packet (1 s).
func dialed(address string) string {
	begin := time.Now()
	c, err := net.DialTimeout("tcp", address, 3*time.Second)
	switch took := time.Since(begin); {
	case err == nil:
		// However long it took: the first packet between two hosts may be lost.
		_ = c.Close() // nothing was sent
		return "connected"
	case took > time.Second:
		return fmt.Sprintf("late: %s, %v", took, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	}
	return err.Error()
}

// bench is a lab's network in namespaces: "m" is the machine with the lab's
// bridges, "h1", "h2" (with NAT) are hosts, "h3" is another lab's, "out" is the
// world, which answers at every address that is asked for.
type bench struct {
	t    *testing.T
	id   string
	lab  *Lab
	self string
}

func (b *bench) ns(name string) string { return fmt.Sprintf("labtest%s-%s", b.id, name) }

// in runs a command in a namespace.
func (b *bench) in(name string, argv ...string) {
	b.t.Helper()
	if err := run.Run(context.Background(), append([]string{"ip", "netns", "exec", b.ns(name)}, argv...)...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) ip(name, line string) {
	b.t.Helper()
	b.in(name, append([]string{"ip"}, strings.Fields(line)...)...)
}

// nft gives the machine's namespace a script.
func (b *bench) nft(script string) {
	b.t.Helper()
	argv := []string{"ip", "netns", "exec", b.ns("m"), "nft", "--file", "-"}
	if _, err := run.Output(context.Background(), run.Cmd{Argv: argv, Stdin: strings.NewReader(script)}); err != nil {
		b.t.Fatal(err)
	}
}

// listen has the namespace answer at an address until the test ends.
func (b *bench) listen(name, address string) {
	b.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", b.ns(name), b.self)
	cmd.Env = append(os.Environ(), listenVariable+"="+address)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	said := make([]byte, len("listening"))
	if _, err := out.Read(said); err != nil || string(said) != "listening" {
		b.t.Fatalf("%s does not listen at %s: %s, %v", name, address, said, err)
	}
}

// dial connects from a namespace, and fails when the outcome is another.
func (b *bench) dial(name, address, want string) {
	b.t.Helper()
	cmd := run.Cmd{Argv: []string{"ip", "netns", "exec", b.ns(name), b.self}, Env: []string{dialVariable + "=" + address}}
	out, err := run.Output(context.Background(), cmd)
	if err != nil || strings.TrimSpace(out) != want {
		b.t.Errorf("%s to %s: %q (%v), want %s", name, address, strings.TrimSpace(out), err, want)
	}
}

// newBench makes the namespaces, with a machine that forwards whatever it gets.
func newBench(t *testing.T) *bench {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces are made by root only")
	}
	for _, program := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v; lab build installs it", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, id: fmt.Sprint(os.Getpid()), lab: &Lab{Name: "x", Index: 3}, self: self}
	for _, name := range []string{"m", "h1", "h2", "h3", "out"} {
		ns := b.ns(name)
		if err := run.Run(context.Background(), "ip", "netns", "add", ns); err != nil {
			t.Skipf("no network namespaces here: %v", err)
		}
		t.Cleanup(func() {
			if err := run.Run(context.Background(), "ip", "netns", "delete", ns); err != nil {
				t.Error(err)
			}
		})
		b.ip(name, "link set dev lo up")
	}
	other := &Lab{Name: "y", Index: 4}
	b.bridge(b.lab.bridge(), "10.77.3.1/24", "fd77:3::1/64")
	b.bridge(b.lab.natBridge(), "10.78.3.1/24", "fd78:3::1/64")
	b.bridge(other.bridge(), "10.77.4.1/24", "fd77:4::1/64")
	b.bridge("world", "203.0.113.1/24", "fd00:1::1/64")
	b.plug("h1", "eth0", b.lab.bridge(), "10.77.3.11/24", "fd77:3::11/64", "10.77.3.1", "fd77:3::1")
	b.plug("h2", "eth0", b.lab.bridge(), "10.77.3.21/24", "fd77:3::21/64", "", "")
	b.plug("h2", NATDevice, b.lab.natBridge(), "10.78.3.21/24", "fd78:3::21/64", "10.78.3.1", "fd78:3::1")
	b.plug("h3", "eth0", other.bridge(), "10.77.4.11/24", "fd77:4::11/64", "10.77.4.1", "fd77:4::1")
	b.plug("out", "eth0", "world", "203.0.113.2/24", "fd00:1::2/64", "203.0.113.1", "fd00:1::1")
	b.ip("m", "route add default via 203.0.113.2")
	b.ip("m", "-6 route add default via fd00:1::2")
	b.ip("out", "address add 198.51.100.1/32 dev lo")
	b.ip("out", "address add 2001:db8::1/128 dev lo nodad")
	b.in("m", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	return b
}

func (b *bench) bridge(name, v4, v6 string) {
	b.t.Helper()
	b.ip("m", "link add name "+name+" type bridge forward_delay 0")
	b.ip("m", "address add "+v4+" dev "+name)
	b.ip("m", "address add "+v6+" dev "+name+" nodad")
	b.ip("m", "link set dev "+name+" up")
}

// plug connects a namespace with a bridge; with a gateway that is its default route.
func (b *bench) plug(name, dev, bridge, v4, v6, gateway4, gateway6 string) {
	b.t.Helper()
	near := name + "-" + dev
	b.ip("m", "link add name "+near+" type veth peer name "+dev+" netns "+b.ns(name))
	b.ip("m", "link set dev "+near+" master "+bridge+" up")
	b.ip(name, "address add "+v4+" dev "+dev)
	b.ip(name, "address add "+v6+" dev "+dev+" nodad")
	b.ip(name, "link set dev "+dev+" up")
	if gateway4 != "" {
		b.ip(name, "route add default via "+gateway4)
		b.ip(name, "-6 route add default via "+gateway6)
	}
}

// TestOutsideIsRefused: with the rules hosts reach each other and the machine,
// and everything else is refused at once, over both interfaces and both protocols.
func TestOutsideIsRefused(t *testing.T) {
	b := newBench(t)
	for name, addresses := range map[string][]string{
		"out": {"198.51.100.1:80", "[2001:db8::1]:80"}, "h1": {"10.77.3.11:80", "[fd77:3::11]:80"},
		"m": {"10.77.3.1:80", "[fd77:3::1]:80"}, "h3": {"10.77.4.11:80"},
	} {
		for _, a := range addresses {
			b.listen(name, a)
		}
	}
	outside := func(want string) {
		t.Helper()
		for _, host := range []string{"h1", "h2"} {
			b.dial(host, "198.51.100.1:80", want)
			b.dial(host, "[2001:db8::1]:80", want)
		}
		b.dial("h1", "10.77.4.11:80", want) // another lab's host
	}
	inside := func() {
		t.Helper()
		b.dial("h2", "10.77.3.11:80", "connected")
		b.dial("h2", "[fd77:3::11]:80", "connected")
		b.dial("h1", "10.77.3.1:80", "connected")
		b.dial("h1", "[fd77:3::1]:80", "connected")
		b.dial("m", "10.77.3.11:80", "connected")
		b.dial("h3", "198.51.100.1:80", "connected") // the other lab has no rules here
	}
	outside("connected")
	inside()
	// Twice: what there is is put in place anew.
	b.nft(b.lab.refusals())
	b.nft(b.lab.refusals())
	outside("refused")
	inside()
	b.dial("m", "198.51.100.1:80", "connected") // the machine's own way out is its own
	b.nft(b.lab.admission())
	b.nft(b.lab.admission())
	outside("connected")
}

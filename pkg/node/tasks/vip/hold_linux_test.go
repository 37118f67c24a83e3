package vip

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestHold: in a network namespace of its own a held address takes no new
// connection, answers on one that is there, and takes new ones when released.
// The kernel ends a hold that nobody releases.
func TestHold(t *testing.T) {
	const inside = "VIP_TEST_NAMESPACE"
	if os.Getenv(inside) == "" {
		if os.Geteuid() != 0 {
			t.Skip("a network namespace of one's own is for root")
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestHold$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=yes")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for _, address := range []string{"127.0.0.1", "::1"} {
		t.Run(address, func(t *testing.T) { holdOnce(t, netip.MustParseAddr(address)) })
	}
}

func holdOnce(t *testing.T, address netip.Addr) {
	l, err := net.Listen("tcp", netip.AddrPortFrom(address, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c) //nolint:errcheck // an echo until the test's end
		}
	}()
	dial := func(timeout time.Duration) error {
		c, err := net.DialTimeout("tcp", l.Addr().String(), timeout)
		if err != nil {
			return err
		}
		return c.Close()
	}
	early, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	release, err := hold(address)
	if err != nil {
		t.Fatal(err)
	}
	var late net.Error
	if err := dial(300 * time.Millisecond); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("a new connection while held: %v, want a timeout", err)
	}
	if _, err := early.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if err := early.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(early, make([]byte, 1)); err != nil {
		t.Errorf("no answer on a connection from before: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := dial(5 * time.Second); err != nil {
		t.Errorf("a new connection after the release: %v", err)
	}
	forgotten, err := hold(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := dial(30 * time.Second); err != nil {
		t.Errorf("a hold that nobody releases does not end: %v", err)
	}
	// The table of the one that died is no obstacle.
	again, err := hold(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, release := range []func() error{again, forgotten} {
		if err := release(); err != nil {
			t.Error(err)
		}
	}
}

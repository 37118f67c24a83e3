package build

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
)

func TestDebianSources(t *testing.T) {
	const line = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
	for name, c := range map[string]struct {
		targets string
		want    []string
	}{
		"a Debian machine": {
			"Debian|Debian|http://mirror.example/debian/\nDebian|Debian|http://mirror.example/debian/\nDebian|Debian-Security|http://mirror.example/debian-security/\n",
			[]string{line + "http://mirror.example/debian/ trixie main", line + "http://mirror.example/debian/ trixie-updates main",
				line + "http://mirror.example/debian-security/ trixie-security main"},
		},
		"the first mirror counts": {
			"Debian|Debian|http://one.example/debian\nDebian|Debian|http://two.example/debian\n",
			[]string{line + "http://one.example/debian trixie main", line + "http://one.example/debian trixie-updates main"},
		},
		"other repositories on a Debian": {
			"nodesource||https://deb.example/node/\nDebian|Debian Backports|http://b.example/debian\nDebian|Debian|http://mirror.example/debian\n",
			[]string{line + "http://mirror.example/debian trixie main", line + "http://mirror.example/debian trixie-updates main"},
		},
		"an Ubuntu machine":                 {"Ubuntu|Ubuntu|http://ubuntu.example/ubuntu/\n", nil},
		"security alone is no Debian":       {"Debian|Debian-Security|http://mirror.example/debian-security/\n", nil},
		"lists that were never fetched":     {"", nil},
		"an origin that apt does not know":  {"$(ORIGIN)|$(LABEL)|http://mirror.example/debian\n", nil},
		"a repository without an address":   {"Debian|Debian|\n", nil},
		"a line that is not of this format": {"Debian Debian http://mirror.example/debian\n", nil},
	} {
		if got := debianSources(c.targets, "trixie"); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant:\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestMmdebstrapArgv(t *testing.T) {
	s := rootSpec{suite: "trixie", variant: "minbase", packages: []string{"a", "b"}, out: "/x/root.tar", more: []string{"--customize-hook=/x/h"}}
	got := s.argv([]string{"deb one", "deb two"})
	if got[0] != "mmdebstrap" || !slices.Contains(got, "--include=a,b") || !slices.Contains(got, "--variant=minbase") {
		t.Errorf("%q", got)
	}
	// The positional arguments are suite, target, mirrors, and nothing follows them.
	if want := []string{"--customize-hook=/x/h", "trixie", "/x/root.tar", "deb one", "deb two"}; !slices.Equal(got[len(got)-5:], want) {
		t.Errorf("%q, want it to end in %q", got, want)
	}
	if got := s.argv(nil); got[len(got)-1] != "/x/root.tar" {
		t.Errorf("without sources: %q", got)
	}
}

func TestHostKinds(t *testing.T) {
	for _, bad := range []string{"", "debian", "debian-10", "Debian-12", "bookworm", "ubuntu-24.04"} {
		if err := (HostKind{OS: bad}).Validate(); err == nil || !strings.Contains(err.Error(), "debian-11, debian-12, debian-13") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	seen := map[string]HostKind{}
	for _, os := range HostOSes() {
		for _, k := range []HostKind{{OS: os}, {OS: os, Containerd: true}, {OS: os, NFTablesOnly: true}, {OS: os, Containerd: true, NFTablesOnly: true}} {
			if err := k.Validate(); err != nil {
				t.Error(err)
			}
			ref, err := k.Ref()
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := k.Ref(); again != ref {
				t.Errorf("%s: %s, then %s", k, ref, again)
			}
			if other, ok := seen[ref]; ok {
				t.Errorf("%s and %s are both %s", k, other, ref)
			}
			seen[ref] = k
			packages := k.packages()
			iptables := slices.Contains(packages, "iptables") || slices.Contains(packages, "ebtables")
			if iptables == k.NFTablesOnly || !slices.Contains(packages, "nftables") || slices.Contains(packages, "containerd") != k.Containerd {
				t.Errorf("%s: %v", k, packages)
			}
		}
	}
	if got := (HostKind{OS: "debian-13", Containerd: true, NFTablesOnly: true}).String(); got != "debian-13, containerd, nftables only" {
		t.Errorf("%q", got)
	}
}

// TestHostImagesRefuses: a kind that can't be made is said before anything is done.
func TestHostImagesRefuses(t *testing.T) {
	var out bytes.Buffer
	err := HostImages(context.Background(), Options{Out: &out}, []HostKind{{OS: "debian-9"}})
	if err == nil || !strings.Contains(err.Error(), `"debian-9"`) || out.Len() > 0 {
		t.Errorf("%v, %q", err, out.String())
	}
	o := Options{Kubernetes: []string{"v1.36.3"}, Etcd: []string{"v3.6.16"}, HostOS: []string{"debian-12", "debian-14"}}
	if err := o.validate(); err == nil || !strings.Contains(err.Error(), `"debian-14"`) {
		t.Errorf("%v", err)
	}
}

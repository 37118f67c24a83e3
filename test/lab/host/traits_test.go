package host

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseChoice(t *testing.T) {
	for text, want := range map[string]Choice{
		"debian-13":                      {All: "debian-13", Hosts: map[string]string{}},
		"debian-12,w1=debian-13":         {All: "debian-12", Hosts: map[string]string{"w1": "debian-13"}},
		"w1=6G,cp1=2G":                   {Hosts: map[string]string{"w1": "6G", "cp1": "2G"}},
		"w1=debian-11,debian-12,cp1=a=b": {All: "debian-12", Hosts: map[string]string{"w1": "debian-11", "cp1": "a=b"}},
	} {
		if got, err := ParseChoice(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", ",", "a,", "=a", "w1=", "a,b", "w1=a,w1=b"} {
		if got, err := ParseChoice(bad); err == nil {
			t.Errorf("%q was accepted: %+v", bad, got)
		}
	}
}

func TestParseHosts(t *testing.T) {
	for text, want := range map[string]Choice{
		"all":    {All: yes, Hosts: map[string]string{}},
		"w1":     {Hosts: map[string]string{"w1": yes}},
		"w1,cp2": {Hosts: map[string]string{"w1": yes, "cp2": yes}},
	} {
		if got, err := ParseHosts(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "w1,", "w1=yes"} {
		if got, err := ParseHosts(bad); err == nil {
			t.Errorf("%q was accepted: %+v", bad, got)
		}
	}
}

// one is a choice of a single host.
func one(host, value string) Choice { return Choice{Hosts: map[string]string{host: value}} }

func TestGrant(t *testing.T) {
	list := hosts(0, Size{ControlPlanes: 1, Workers: 2})
	w := Wishes{
		OS: Choice{All: "debian-11", Hosts: map[string]string{"w1": "debian-13"}}, Disk: one("w2", "6G"),
		NAT: Choice{All: yes}, Containerd: one("w1", yes), NFTablesOnly: one("cp1", yes), NoexecVar: one("w2", yes),
	}
	if err := w.grant(list); err != nil {
		t.Fatal(err)
	}
	for i, want := range []Traits{
		{OS: "debian-11", NFTablesOnly: true, NAT: true},
		{OS: "debian-13", Containerd: true, NAT: true},
		{OS: "debian-11", NAT: true, NoexecVar: true, Disk: "6G"},
	} {
		if list[i].Traits != want {
			t.Errorf("%s: %+v, want %+v", list[i].Name, list[i].Traits, want)
		}
	}
	if err := (Wishes{}).grant(list); err != nil || list[1].Traits != (Traits{OS: "debian-12"}) {
		t.Errorf("nothing wished for: %+v, %v", list[1].Traits, err)
	}
	for want, bad := range map[string]Wishes{
		`no host "w3"`:            {NAT: one("w3", yes)},
		`no host "mirror"`:        {OS: one("mirror", "debian-13")},
		`system "debian-10"`:      {OS: Choice{All: "debian-10"}},
		`system "all"`:            {OS: one("w1", "all")},
		`disk "6"`:                {Disk: Choice{All: "6"}},
		`disk "6g"`:               {Disk: Choice{All: "6g"}},
		`disk "511M": at least`:   {Disk: one("w1", "511M")},
		`disk "9999999G": a numb`: {Disk: one("w1", "9999999G")},
	} {
		if err := bad.grant(slices.Clone(list)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestHasTraits(t *testing.T) {
	l := &Lab{Name: "x", Hosts: hosts(0, Size{ControlPlanes: 1, Workers: 1})}
	if err := l.hasTraits(Wishes{}); err != nil {
		t.Errorf("a lab of an earlier version: %v", err)
	}
	w := Wishes{OS: one("w1", "debian-13"), NAT: one("w1", yes)}
	if err := w.grant(l.Hosts); err != nil {
		t.Fatal(err)
	}
	if err := l.hasTraits(w); err != nil {
		t.Error(err)
	}
	err := l.hasTraits(Wishes{OS: one("w1", "debian-11")})
	if err == nil || !strings.Contains(err.Error(), "w1 is another (debian-13, nat) than is wanted (debian-11)") {
		t.Errorf("%v", err)
	}
	if l.Hosts[1].Traits != (Traits{OS: "debian-13", NAT: true}) {
		t.Errorf("the lab was changed: %+v", l.Hosts[1].Traits)
	}
}

func TestDiskBytes(t *testing.T) {
	for size, want := range map[string]int64{"": 0, "512M": 512 << 20, "6G": 6 << 30, "1500M": 1500 << 20} {
		if got, err := diskBytes(size); err != nil || got != want {
			t.Errorf("%q: %d, %v", size, got, err)
		}
	}
	for _, bad := range []string{"6", "6T", "6GiB", "-6G", "0G", "1.5G", " 6G", "100M"} {
		if got, err := diskBytes(bad); err == nil {
			t.Errorf("%q was accepted: %d", bad, got)
		}
	}
}

func TestNewHostsHaveTheirImages(t *testing.T) {
	list, images, err := newHosts(3, Size{ControlPlanes: 1, Workers: 2}, Wishes{OS: one("w2", "debian-13")})
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{Image: images["cp1"], Images: images, Hosts: list}
	if l.image(list[0]) != l.image(list[1]) || l.image(list[1]) == l.image(list[2]) || l.image(list[2]) == "" {
		t.Errorf("%v", images)
	}
	old := &Lab{Image: "old:1", Hosts: list}
	if got := old.image(list[2]); got != "old:1" {
		t.Errorf("a lab of an earlier version: %q", got)
	}
	if _, _, err := newHosts(3, Size{Workers: 1}, Wishes{OS: one("cp1", "debian-13")}); err == nil {
		t.Error("a host that is not there was accepted")
	}
}

// TestHostArgs: each trait is in the container's arguments, and nothing else is.
func TestHostArgs(t *testing.T) {
	l := &Lab{Name: "x", Index: 3, Image: "img:1", dir: "/labs/x"}
	plain := strings.Join(l.hostArgs(Host{Name: "w1", Address: "10.77.3.21"}, []string{"SYS_TIME"}, false), " ")
	for _, want := range []string{"--volume /var ", "--dns 10.77.3.5 ", "--ip 10.77.3.21 ", "--cap-add SYS_TIME", " img:1"} {
		if !strings.Contains(plain, want) {
			t.Errorf("plain host: no %q in %s", want, plain)
		}
	}
	if strings.Contains(plain, "LAB_") {
		t.Errorf("plain host: %s", plain)
	}
	for want, traits := range map[string]Traits{
		"--env LAB_NOEXEC_VAR=1 ":              {NoexecVar: true},
		"--volume /labs/x/disks/w1:/var ":      {Disk: "6G"},
		"--volume /labs/x/disks/w1:/var --env": {Disk: "6G", NoexecVar: true},
	} {
		got := strings.Join(l.hostArgs(Host{Name: "w1", Address: "10.77.3.21", Traits: traits}, nil, false), " ")
		if !strings.Contains(got, want) || traits.Disk != "" && strings.Contains(got, "--volume /var ") {
			t.Errorf("%+v: %s", traits, got)
		}
	}
}

package host

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
)

func exampleLab() *Lab {
	return &Lab{
		Name: "lab", Index: 7, Hosts: hosts(7, Size{ControlPlanes: 3, Workers: 1, Etcd: 1}), dir: "/cache/labs/lab",
		Partitions: [][]string{{"cp2", "w1"}, {"cp3"}}, Shapes: map[string]string{"w1": "20mbit", Uplink: "100mbit"},
	}
}

func exampleContainers() map[string]docker.Container {
	there := map[string]docker.Container{}
	for name, state := range map[string]string{
		"lab-cp1": "running", "lab-cp2": "paused", "lab-cp3": "exited", "lab-w1": "running", "lab-mirror": "created",
	} {
		c := docker.Container{Name: name}
		c.State.Status = state
		there[name] = c
	}
	return there
}

func TestStatusForPeople(t *testing.T) {
	var b strings.Builder
	if err := exampleLab().status(exampleContainers()).Write(&b); err != nil {
		t.Fatal(err)
	}
	want := `lab:          lab
subnet:       10.77.7.0/24
virtual IP:   10.77.7.100
mirror:       http://10.77.7.5 (stopped)
ssh key:      /cache/labs/lab/id_ed25519
known hosts:  /cache/labs/lab/known_hosts
kubeconfig:   /cache/labs/lab/lab.kubeconfig
uplink:       100mbit

HOST  ROLE           ADDRESS     STATE
cp1   control-plane  10.77.7.11  running
cp2   control-plane  10.77.7.12  paused, partitioned with w1
cp3   control-plane  10.77.7.13  stopped, partitioned
w1    worker         10.77.7.21  running, partitioned with cp2, 20mbit
e1    etcd           10.77.7.71  missing
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestStatusForPrograms(t *testing.T) {
	out, err := json.Marshal(exampleLab().status(exampleContainers()))
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		VirtualIP, MirrorURL, SSHKey, KnownHosts string
		Hosts                                    []struct {
			Name, Role, Address, State string
			Partitioned                bool
		}
	}
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	if s.VirtualIP != "10.77.7.100" || s.MirrorURL != "http://10.77.7.5" || s.SSHKey == "" || s.KnownHosts == "" {
		t.Errorf("%s", out)
	}
	if len(s.Hosts) != 5 || s.Hosts[4].State != "missing" || !s.Hosts[1].Partitioned || s.Hosts[0].Partitioned || s.Hosts[0].Role != "control-plane" {
		t.Errorf("%s", out)
	}
}

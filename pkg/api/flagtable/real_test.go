package flagtable

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	etcdVersion   = regexp.MustCompile(`etcd Version: (\S+)`)
	kubeVersion   = regexp.MustCompile(`Kubernetes (v\S+)`)
	helpLine      = regexp.MustCompile(`(?m)^ +(?:-., )?--([a-z0-9][a-z0-9-]*)`)
	gateInHelp    = regexp.MustCompile(`([A-Z][A-Za-z0-9]+)=true\|false \(`)
	typedHelpLine = regexp.MustCompile(`(?m)^ +(?:-., )?--([a-z0-9][a-z0-9-]*) (int|int32|uint|duration|float|ip)\b`)
)

// real is a program that an environment variable names; tests that have none are skipped.
func real(t *testing.T, variable string) string {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		t.Skip(variable + " names no program: see hack/binaries.sh")
	}
	return program
}

// sample is a value that a kind takes.
func sample(kind string) string {
	for _, v := range []string{"1", "true", "10s", "127.0.0.1", "A=true"} {
		if wrong(kind, v) == "" {
			return v
		}
	}
	return ""
}

// TestRealEtcd: the program takes each flag of its version's table with a value of its
// kind, refuses one that is not of it, and has no flag more.
func TestRealEtcd(t *testing.T) {
	program := real(t, "ETCD")
	out, err := exec.Command(program, "--version").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	minor := Minor(etcdVersion.FindStringSubmatch(string(out))[1])
	flags := FlagsOf("etcd")
	all := []string{"--version"}
	for _, name := range flags.Names(minor) {
		kind := flags.entries[name][minor]
		if kind == "boolmap" || kind == "other" || name == "version" {
			continue // values of their own meaning
		}
		all = append(all, "--"+name+"="+sample(kind))
		if kind == "string" {
			continue
		}
		if out, err := exec.Command(program, "--"+name+"=bogus", "--version").CombinedOutput(); err == nil {
			t.Errorf("--%s=bogus is taken, although it is of the kind %s: %.200s", name, kind, out)
		}
	}
	if out, err := exec.Command(program, all...).CombinedOutput(); err != nil {
		t.Errorf("%v: %v: %.400s", all, err, out)
	}
	help, err := exec.Command(program, "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range helpLine.FindAllStringSubmatch(string(help), -1) {
		if slices.Contains(flags.Names(minor), m[1]) {
			continue
		}
		// 3.7's help still tells of flags that it does not have any more.
		out, err := exec.Command(program, "--"+m[1]+"=x", "--version").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "not defined: -"+m[1]) {
			t.Errorf("--%s is not in the table, and etcd %s has it", m[1], minor)
		}
	}
}

// TestRealKubernetes: each flag and each feature gate that a component's help shows is
// in the table of its version, flags with the same kind. The tables have more: what the
// help hides.
func TestRealKubernetes(t *testing.T) {
	for variable, component := range map[string]string{"KUBE_APISERVER": "kube-apiserver", "KUBE_CONTROLLER_MANAGER": "kube-controller-manager",
		"KUBE_SCHEDULER": "kube-scheduler", "KUBELET": "kubelet"} {
		t.Run(component, func(t *testing.T) {
			program := real(t, variable)
			out, err := exec.Command(program, "--version").CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			minor := Minor(kubeVersion.FindStringSubmatch(string(out))[1])
			help, err := exec.Command(program, "--help").CombinedOutput()
			if err != nil {
				t.Fatal(err)
			}
			flags := FlagsOf(component)
			shown := helpLine.FindAllStringSubmatch(string(help), -1)
			if len(shown) < 40 {
				t.Fatalf("only %d flags found in the help", len(shown))
			}
			for _, m := range shown {
				if !slices.Contains(flags.Names(minor), m[1]) {
					t.Errorf("%s %s has --%s, the table has not", component, minor, m[1])
				}
			}
			gates := gateInHelp.FindAllStringSubmatch(string(help), -1)
			if len(gates) < 40 {
				t.Errorf("only %d feature gates found in the help", len(gates))
			}
			for _, m := range gates {
				if _, known := ComponentGates().entries[m[1]][minor]; !known {
					t.Errorf("%s %s has the feature gate %s, the table has not", component, minor, m[1])
				}
			}
			for _, m := range typedHelpLine.FindAllStringSubmatch(string(help), -1) {
				if kind := flags.entries[m[1]][minor]; kind != "other" && !strings.HasPrefix(kind, m[2]) {
					t.Errorf("--%s is a %s, not a %s", m[1], m[2], kind)
				}
			}
		})
	}
}

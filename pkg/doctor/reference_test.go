package doctor

import (
	commandline "flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	// For its flag, -update.
	_ "github.com/kubectl-ha/kubectl-ha/test/golden"
)

const referencePage = "../../docs/doctor.md"

const referenceIntro = `# Checks of doctor

    kubectl ha doctor             # run all checks
    kubectl ha doctor --quick     # without the read-only task on each node
    kubectl ha doctor --fix       # repair what is safe to repair, in an Operation, after confirmation

Each check is for a known cause of failure in highly available kubeadm clusters. It works on any kubeadm cluster, with stacked or external etcd. A short task on each node reads files on the
hosts. It needs the agent of ` + "`kubectl ha`" + `: adopt other clusters first with ` + "`kubectl ha adopt --ssh`" + `. A check that could not run is
counted separately, never as passed. The exit code is 3 if there are problems, and 0 if there are only warnings. ` + "`-o json`" + ` is for programs.

Generated from the checks by ` + "`make docs`" + `; a test fails when it is stale.

| Check | Requirement, and what happens otherwise | Seen in | Read from | ` + "`--fix`" + ` |
|---|---|---|---|---|
`

// checksReference is the whole page.
func checksReference() string {
	var b strings.Builder
	b.WriteString(referenceIntro)
	for _, c := range Checks() {
		from, fix := "the API", ""
		if c.Files {
			from = "the hosts"
		}
		if c.Fix != "" {
			fix = "`" + string(c.Fix) + "`"
		}
		if c.Reinstalls {
			fix = "installs the addon again"
		}
		fmt.Fprintf(&b, "| `%s` | **%s**: %s | %s | %s | %s |\n", c.ID, c.Title, c.Why, c.Source, from, fix)
	}
	return b.String()
}

// TestChecksReference: docs/doctor.md is what the checks say; -update writes it anew.
func TestChecksReference(t *testing.T) {
	want := checksReference()
	if update := commandline.Lookup("update"); update != nil && update.Value.String() == "true" {
		if err := os.WriteFile(referencePage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), want); diff != "" {
		t.Errorf("docs/doctor.md is stale, `make docs` writes it anew (-have +want):\n%s", diff)
	}
}

// TestEveryKnownFailureHasACheck: the ways in which highly available clusters are known
// to fail, and the checks by which each is seen on a cluster that runs.
func TestEveryKnownFailureHasACheck(t *testing.T) {
	var ids []string
	for _, c := range Checks() {
		ids = append(ids, c.ID)
	}
	seen := map[string]bool{}
	for failure, by := range map[string][]string{
		"a new kubelet talks to an old apiserver":                                {"kubelet-local"},
		"components are pinned to one control plane":                             {"stable-endpoint", "kube-proxy-endpoint", "join-endpoint", "kubeconfig-endpoint"},
		"a load balancer's idle timeout cuts watches":                            {"balancer-timeouts"},
		"connections to a dead apiserver stay for minutes":                       {"balancer", "balancer-resets"},
		"two holders of the virtual IP":                                          {"one-holder", "unicast-peers"},
		"the holder's apiserver stops first":                                     {"address-watch"},
		"too few control planes":                                                 {"control-planes"},
		"CoreDNS is on one node":                                                 {"dns-spread"},
		"a drain waits for ever":                                                 {"drainable"},
		"an aborted upgrade leaves a node cordoned":                              {"left-cordoned"},
		"an upgrade that was given up is taken back by a boot weeks later":       {"armed-upgrade"},
		"etcd 3.5 to 3.6: too many learners, members that come back":             {"etcd-version"},
		"a learner that was never started keeps others out":                      {"etcd-members"},
		"a member is added to a sick cluster":                                    {"etcd-strict"},
		"an etcd check needs the apiserver":                                      {"etcd-answers"},
		"an external etcd's certificates end":                                    {"certificates"},
		"what renews certificates by itself does not run":                        {"certificate-renewal"},
		"what makes backups by itself does not run":                              {"backup-schedule"},
		"kube-proxy is upgraded before all apiservers":                           {"kube-proxy-version"},
		"a lock is held by a dead node":                                          {"dead-lock"},
		"rights that were lent for one Operation stay":                           {"lent-rights"},
		"a coordinator's token gets into the wrong hands":                        {"coordinator-policy"},
		"the first control plane can't be replaced":                              {"stable-endpoint", "etcd-endpoints"},
		"privileged Jobs never start":                                            {"pod-security"},
		"the agent's image is collected":                                         {"agent-pinned"},
		"nobody renews an addon's certificate":                                   {"addon-certificates"},
		"a backup is missing, or was never tried (restore has tests of its own)": {"backup"},
	} {
		for _, id := range by {
			seen[id] = true
			if !slices.Contains(ids, id) {
				t.Errorf("%s: there is no check %s", failure, id)
			}
		}
	}
	for _, id := range ids {
		if !seen[id] {
			t.Errorf("the check %s is for no known failure", id)
		}
	}
}

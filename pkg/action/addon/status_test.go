package addon

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
)

func TestListed(t *testing.T) {
	got := listed(shop(), []install.Inventory{{Name: "front", Version: "v1"}, {Name: "mine", Version: "v7"}})
	var lines []string
	for _, l := range got {
		lines = append(lines, l.Name+" "+l.Version+" "+l.Installed+" "+strings.Join(l.Variants, ","))
	}
	want := "base v2  base-rare,base-usual\nextra v2  extra-rare,extra-usual\nfront v2 v1 front-rare,front-usual\nmine - v7 "
	if s := strings.Join(lines, "\n"); s != want {
		t.Errorf("got\n%s", s)
	}
}

// TestListWithoutACluster: what there is does not depend on any.
func TestListWithoutACluster(t *testing.T) {
	list, unknown, err := List(t.Context(), nil)
	if err != nil || unknown != nil || !slices.ContainsFunc(list, func(l Listed) bool { return l.Name == DashboardName && l.Installed == "" && l.Version != "" }) {
		t.Errorf("%+v, %v, %v", list, unknown, err)
	}
}

func TestUnwell(t *testing.T) {
	for name, c := range map[string]struct {
		state install.State
		lacks []string
		well  bool
	}{
		"well":             {install.Installed, nil, true},
		"a pod is away":    {install.Installed, []string{"deployment: 0 of 1"}, false},
		"half installed":   {install.Installing, nil, false},
		"about to go away": {install.Removing, nil, false},
	} {
		s := stateOf(install.Inventory{Name: "one", State: c.state}, c.lacks)
		err := Unwell([]State{{Name: "other", Healthy: true}, s})
		if s.Healthy != c.well || (err == nil) != c.well || !c.well && (action.KindOf(err) != action.Findings || err.Error() != "not healthy: one") {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestCheckToken(t *testing.T) {
	for life, good := range map[time.Duration]bool{0: false, 9 * time.Minute: false, 10 * time.Minute: true, time.Hour: true, 48 * time.Hour: true, 49 * time.Hour: false} {
		if err := CheckToken(TokenOptions{Life: life}); (err == nil) != good || err != nil && action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %v", life, err)
		}
	}
}

func TestDashboardURL(t *testing.T) {
	for address, want := range map[string]string{"192.0.2.1": "https://192.0.2.1:", "2001:db8::1": "https://[2001:db8::1]:"} {
		c := &v1alpha1.Cluster{}
		c.Spec.VirtualIP = address
		if got := DashboardURL(c); !strings.HasPrefix(got, want) {
			t.Errorf("got %s", got)
		}
	}
}

func TestReadyPod(t *testing.T) {
	pod := func(name string, ready corev1.ConditionStatus) (p corev1.Pod) {
		p.Name, p.Status.Conditions = name, []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
		return p
	}
	if name, err := readyPod([]corev1.Pod{{}, pod("a", corev1.ConditionFalse), pod("b", corev1.ConditionTrue)}); err != nil || name != "b" {
		t.Errorf("%s, %v", name, err)
	}
	if _, err := readyPod([]corev1.Pod{pod("a", corev1.ConditionUnknown)}); err == nil || !strings.Contains(err.Error(), "addon status") {
		t.Errorf("got %v", err)
	}
}

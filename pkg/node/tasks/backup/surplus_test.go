package backup

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/metrics"
)

// TestSurplus: scheduled backups and others leave each other alone, and days and weeks count.
func TestSurplus(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) // a Friday
	const day = 24 * time.Hour
	at := func(name string, ago time.Duration) Backup { return Backup{Name: name, Created: now.Add(-ago)} }
	all := []Backup{at("scheduled-5", 0), at("by-hand", time.Hour), at("scheduled-4", 6*time.Hour), at("scheduled-3", day), at("upgrade-x", 2*day), at("scheduled-2", 8*day), at("scheduled-1", 16*day)}
	for name, tc := range map[string]struct {
		spec Spec
		all  []Backup
		want string
	}{
		"scheduled ones only":         {Spec{Operation: "scheduled-5", Keep: 2}, all, "scheduled-1 scheduled-2 scheduled-3"},
		"others only":                 {Spec{Operation: "by-hand", Keep: 1}, all, "upgrade-x"},
		"by days":                     {Spec{Operation: "scheduled-5", Daily: 3}, all, "scheduled-1 scheduled-4"},
		"by weeks":                    {Spec{Operation: "scheduled-5", Weekly: 2}, all, "scheduled-1 scheduled-3 scheduled-4"},
		"for any reason":              {Spec{Operation: "scheduled-5", Keep: 2, Weekly: 3}, all, "scheduled-3"},
		"of before an upgrade":        {Spec{Operation: "by-hand", Keep: 1, Protect: []string{"upgrade-x"}}, all, ""},
		"the only one":                {Spec{Operation: "scheduled-5", Keep: 1}, all[:1], ""},
		"a clock that was ahead":      {Spec{Operation: "scheduled-5", Keep: 2}, []Backup{at("scheduled-9", -5*day), at("scheduled-5", 0), at("scheduled-4", day)}, "scheduled-4"},
		"one that is there, and old":  {Spec{Operation: "scheduled-1", Keep: 1}, all, "scheduled-2 scheduled-3 scheduled-4 scheduled-5"},
		"more than there are of them": {Spec{Operation: "scheduled-5", Keep: 100}, all, ""},
	} {
		got := surplus(tc.all, tc.spec, now)
		slices.Sort(got)
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %q goes, want %q", name, got, tc.want)
		}
	}
}

// TestMetrics: what is told of a backup can be read, and is gone with the schedule.
func TestMetrics(t *testing.T) {
	root := newRoot(t)
	file := metrics.Dir + "/" + metricsFile
	run := time.Unix(1800000000, 0)
	for name, tc := range map[string]struct {
		spec MetricsSpec
		want []string
		not  string
	}{
		"none yet": {MetricsSpec{Run: run, Failed: true, Period: time.Hour}, []string{MetricRun + " 1.8e+09", MetricFailed + " 1", MetricPeriod + " 3600"}, MetricMade},
		"one": {MetricsSpec{Run: run, Period: time.Hour, Last: &v1alpha1.MadeBackup{Created: run.Add(time.Second), Revision: 7, Bytes: 9}},
			[]string{MetricFailed + " 0", MetricMade + " 1.800000001e+09", MetricRevision + " 7", MetricBytes + " 9"}, MetricFailed + " 1"},
	} {
		e := env(t, root)
		if _, err := Metrics(t.Context(), e, tc.spec); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		raw, err := e.Host.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tc.want {
			if !strings.Contains(string(raw), "\n"+want+"\n") {
				t.Errorf("%s: there is no %q in\n%s", name, want, raw)
			}
		}
		if strings.Contains(string(raw), "\n"+tc.not) {
			t.Errorf("%s: there is %q in\n%s", name, tc.not, raw)
		}
	}
	for range 2 { // One that is gone is no error.
		if _, err := Metrics(t.Context(), env(t, root), MetricsSpec{Off: true}); err != nil {
			t.Fatal(err)
		}
	}
	if there, err := env(t, root).Host.Exists(file); there || err != nil {
		t.Errorf("it is still there: %v %v", there, err)
	}
}

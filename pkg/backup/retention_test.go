package backup

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// at makes backups of hours ago: "3h" or, protected by itself, "3h!".
func at(now time.Time, ages ...string) (out []Manifest) {
	for _, a := range ages {
		text, protected := strings.CutSuffix(a, "!")
		d, err := time.ParseDuration(text)
		if err != nil {
			panic(err)
		}
		m := Manifest{Name: text, Created: now.Add(-d)}
		if protected {
			m.Protected = "the upgrade up-1 is not through"
		}
		out = append(out, m)
	}
	return out
}

func TestRetain(t *testing.T) {
	// A Sunday evening.
	now := time.Date(2026, 11, 29, 20, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name      string
		ages      []string
		keep      Keep
		protected map[string]string
		remove    string
	}{
		{"nothing is set", []string{"1h", "2h", "900h"}, Keep{}, nil, ""},
		{"nothing is there", nil, Keep{Last: 1}, nil, ""},
		{"the last ones", []string{"3h", "1h", "2h", "4h"}, Keep{Last: 2}, nil, "3h 4h"},
		{"never the only one", []string{"9000h"}, Keep{Daily: 1}, nil, ""},
		{"the newest, whatever is kept", []string{"1h", "2h"}, Keep{Weekly: 1}, nil, "2h"},
		{"one a day, its newest", []string{"1h", "2h", "25h", "26h", "49h", "73h"}, Keep{Daily: 3}, nil, "2h 26h 73h"},
		{"days without one do not count", []string{"1h", "97h", "98h", "500h"}, Keep{Daily: 2}, nil, "98h 500h"},
		{"one a week", []string{"1h", "100h", "200h", "201h", "400h"}, Keep{Weekly: 2}, nil, "100h 201h 400h"},
		{"for any reason", []string{"1h", "2h", "26h", "200h", "500h"}, Keep{Last: 2, Daily: 2, Weekly: 2}, nil, "500h"},
		{"before an unfinished upgrade", []string{"1h", "2h", "50h"}, Keep{Last: 1}, map[string]string{"50h": "the upgrade u is not through"}, "2h"},
		{"protected by itself", []string{"1h", "2h", "50h!"}, Keep{Last: 1}, nil, "2h"},
		{"one of the future counts for nothing", []string{"-5h", "1h", "2h"}, Keep{Last: 1}, nil, "2h"},
		{"the same time", []string{"1h", "1h", "2h"}, Keep{Last: 2}, nil, "2h"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			all := at(now, tc.ages...)
			before := slices.Clone(all)
			remove, stay := Retain(all, tc.keep, tc.protected, now)
			if got := strings.Join(remove, " "); got != tc.remove {
				t.Errorf("removed %q, not %q; the rest stays for %v", got, tc.remove, stay)
			}
			for _, m := range all {
				if _, stays := stay[m.Name]; stays == slices.Contains(remove, m.Name) {
					t.Errorf("%s goes and stays, or neither", m.Name)
				}
			}
			if fmt.Sprint(all) != fmt.Sprint(before) {
				t.Error("what was given has changed")
			}
		})
	}
}

func TestBefore(t *testing.T) {
	now := time.Date(2026, 11, 29, 20, 0, 0, 0, time.UTC)
	all := at(now, "1h", "5h", "3h", "9h")
	for name, tc := range map[string]struct {
		began map[string]time.Time
		want  string
	}{
		"nothing is under way": {nil, ""},
		"one":                  {map[string]time.Time{"u": now.Add(-4 * time.Hour)}, "5h"},
		"at that very time":    {map[string]time.Time{"u": now.Add(-3 * time.Hour)}, "3h"},
		"two":                  {map[string]time.Time{"u": now.Add(-2 * time.Hour), "v": now.Add(-6 * time.Hour)}, "3h 9h"},
		"before all":           {map[string]time.Time{"u": now.Add(-20 * time.Hour)}, ""},
	} {
		got := Before(all, tc.began)
		var names []string
		for _, m := range all {
			if got[m.Name] != "" {
				names = append(names, m.Name)
			}
		}
		if strings.Join(names, " ") != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

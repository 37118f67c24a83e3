package backup

import (
	"slices"
	"strings"
	"time"
)

// Keep says which backups stay. One stays for any of its reasons.
type Keep struct {
	// Last is how many of the newest stay. Daily, Weekly: the newest of each of so many days and
	// ISO weeks (UTC) that have one. All zero: everything stays.
	Last, Daily, Weekly int
}

// All tells whether everything stays.
func (k Keep) All() bool { return k == Keep{} }

// Retain chooses what goes, by name, in the order given, and says why the rest stays. It is pure.
// all are whole backups; protected are names that must stay, such as the one of before an upgrade
// that is not through. The newest always stays: it may be the only good one. What is newer than
// the clock is not counted against anything, and stays.
func Retain(all []Manifest, k Keep, protected map[string]string, now time.Time) (remove []string, stay map[string]string) {
	stay = map[string]string{}
	because := func(m Manifest, why string) {
		if _, has := stay[m.Name]; !has {
			stay[m.Name] = why
		}
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b Manifest) int {
		return cmpOr(b.Created.Compare(a.Created), strings.Compare(a.Name, b.Name))
	})
	var counting []Manifest
	for _, m := range sorted {
		switch {
		case m.Protected != "":
			because(m, m.Protected)
		case protected[m.Name] != "":
			because(m, protected[m.Name])
		case k.All():
			because(m, "no retention is set")
		}
		if m.Created.After(now) {
			because(m, "it is of the future, as this clock has it")
			continue
		}
		counting = append(counting, m)
	}
	if len(counting) > 0 {
		because(counting[0], "it is the newest")
	}
	for i, m := range counting {
		if i < k.Last {
			because(m, "last")
		}
	}
	byPeriod(counting, k.Daily, func(t time.Time) string { return t.UTC().Format(time.DateOnly) }, func(m Manifest) { because(m, "daily") })
	byPeriod(counting, k.Weekly, func(t time.Time) string {
		year, week := t.UTC().ISOWeek()
		return time.Date(year, 1, week, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)
	}, func(m Manifest) { because(m, "weekly") })
	for _, m := range sorted {
		if _, stays := stay[m.Name]; !stays {
			remove = append(remove, m.Name)
		}
	}
	return remove, stay
}

// byPeriod keeps the newest of each of the first n periods. all are the newest first.
func byPeriod(all []Manifest, n int, period func(time.Time) string, keep func(Manifest)) {
	seen := map[string]bool{}
	for _, m := range all {
		p := period(m.Created)
		if seen[p] || len(seen) == n {
			continue
		}
		seen[p] = true
		keep(m)
	}
}

// Before are the backups that must stay for what is not through: the last one of before each of
// them began. began maps what is not through, such as an upgrade, to when it began. It is pure.
func Before(all []Manifest, began map[string]time.Time) map[string]string {
	out := map[string]string{}
	for what, t := range began {
		newest := -1
		for i, m := range all {
			if !m.Created.After(t) && (newest < 0 || m.Created.After(all[newest].Created)) {
				newest = i
			}
		}
		if newest >= 0 {
			out[all[newest].Name] = "it is the last of before " + what + ", which is not through"
		}
	}
	return out
}

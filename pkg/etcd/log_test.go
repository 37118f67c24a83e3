package etcd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMemberLog: a log is renewed once a snapshot was written after all that has to be in it was applied,
// and a member that does not tell has to apply more than it was started with, as far as is known.
func TestMemberLog(t *testing.T) {
	type look struct {
		applied, written uint64
		tells            bool
	}
	for name, tc := range map[string]struct {
		looks []look
		done  int // The look at which it is; 0: never.
	}{
		"one is written":                  {[]look{{100, 7, true}, {150, 7, true}, {160, 8, true}}, 3},
		"none is written, whatever comes": {[]look{{100, 7, true}, {9000, 7, true}, {90000, 7, true}}, 0},
		"one of before it is behind":      {[]look{{90, 7, true}, {99, 8, true}, {100, 8, true}, {200, 8, true}}, 0},
		"it was started anew":             {[]look{{100, 7, true}, {100, 0, true}, {120, 0, true}, {130, 1, true}}, 4},
		"it does not tell":                {[]look{{100, 0, false}, {150, 0, false}, {151, 0, false}}, 3},
		"it does not tell for a moment":   {[]look{{100, 7, true}, {120, 0, false}, {130, 8, true}}, 3},
	} {
		l, done := &memberLog{target: 100, count: 50}, 0
		for i, x := range tc.looks {
			if l.look(x.applied, x.written, x.tells) && done == 0 {
				done = i + 1
			}
		}
		if done != tc.done {
			t.Errorf("%s: done at %d, not %d", name, done, tc.done)
		}
	}
}

// TestHeard: only what lasts makes a member one that does not tell.
func TestHeard(t *testing.T) {
	away, lasting := errors.New("no answer"), fmt.Errorf("404: %w", errTellsNot)
	for name, tc := range map[string]struct {
		before []error
		err    error
		want   bool
	}{
		"it tells":             {nil, nil, true},
		"no answer":            {nil, away, false},
		"it has no metrics":    {nil, lasting, true},
		"it told once":         {[]error{nil}, away, false},
		"it told, and is else": {[]error{nil}, lasting, false},
		"never any answer":     {slices.Repeat([]error{away}, maxSilent), away, true},
		"nearly never":         {slices.Repeat([]error{away}, maxSilent-1), away, false},
	} {
		l := &memberLog{}
		for _, err := range tc.before {
			l.heard(err)
		}
		if got := l.heard(tc.err); got != tc.want {
			t.Errorf("%s: it is judged: %v", name, got)
		}
	}
	if _, err := readCounter(strings.NewReader(""), "x_count"); !errors.Is(err, errTellsNot) {
		t.Errorf("without the counter: %v", err)
	}
}

func TestReadCounter(t *testing.T) {
	for text, want := range map[string]string{
		"# HELP x y\nx_count 12\nx 7\n": "12, <nil>",
		"x_count{a=\"b\"} 1\nx_count 3": "3, <nil>",
		"x_count 1e+06\n":               "1000000, <nil>",
		"x_count -1\n":                  "no count",
		"x_count 1.5\n":                 "no count",
		"x_count many\n":                "no count",
		"y_count 1\n":                   "there is no x_count",
		"":                              "there is no x_count",
	} {
		n, err := readCounter(strings.NewReader(text), "x_count")
		if got := fmt.Sprintf("%d, %v", n, err); !strings.Contains(got, want) {
			t.Errorf("%q: %s, not %s", text, got, want)
		}
	}
}

// TestRealRenewLog: members that were started with a larger --snapshot-count than anybody knows of have a
// snapshot of all that was in their logs all the same.
func TestRealRenewLog(t *testing.T) {
	c, members := realClientWith(t, 3, "--snapshot-count", "3000")
	before := uint64(0)
	for _, s := range c.Status(t.Context()) {
		before = max(before, s.Applied)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var told []int
	if err := c.RenewLog(ctx, 10, func(left int) { told = append(told, left) }); err != nil {
		t.Fatal(err)
	}
	if len(told) == 0 || told[0] != 3 {
		t.Errorf("told of %v", told)
	}
	for _, m := range members {
		files, err := filepath.Glob(filepath.Join(m.dir, "member", "snap", "*.snap"))
		if err != nil {
			t.Fatal(err)
		}
		newest := uint64(0)
		for _, f := range files {
			var term, index uint64
			if _, err := fmt.Sscanf(filepath.Base(f), "%x-%x.snap", &term, &index); err != nil {
				t.Fatal(err)
			}
			newest = max(newest, index)
		}
		if newest < before {
			t.Errorf("%s has a snapshot up to entry %d, not %d", m.url, newest, before)
		}
	}
}

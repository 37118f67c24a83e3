package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAims(t *testing.T) {
	one := pushed{nodes: 1, size: 300e6, spread: 20 * time.Second, uplink: 303e6, workstation: 90e6, agent: 60e6}
	for name, c := range map[string]struct {
		change func(*pushed)
		want   string
	}{
		"met":         {func(p *pushed) { p.spread = 24 * time.Second }, ""},
		"bytes":       {func(p *pushed) { p.uplink = 316e6 }, "8 nodes: 1.053 x the bundle"},
		"time":        {func(p *pushed) { p.spread = 26 * time.Second }, "8 nodes: it took 1.30 x the time for 1"},
		"workstation": {func(p *pushed) { p.workstation = 201e6 }, "8 nodes: the workstation had 201 MB"},
		"agent":       {func(p *pushed) { p.agent = 151e6 }, "8 nodes: an agent had 151 MB"},
	} {
		p := one
		p.nodes = 8
		c.change(&p)
		if got := strings.Join(p.missed(one), "; "); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: missed %q", name, got)
		}
		if err := p.whole(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, p := range map[string]pushed{
		"spread": {uplink: 1, workstation: 1, agent: 1}, "uplink": {spread: 1, workstation: 1, agent: 1},
		"workstation": {spread: 1, uplink: 1, agent: 1}, "agent": {spread: 1, uplink: 1, workstation: 1},
	} {
		if p.whole() == nil {
			t.Errorf("without %s it counts as measured", name)
		}
	}
	if got := (pushed{all: 4 * time.Second, uplink: 9e5}).missedAgain(); got != nil {
		t.Errorf("a second push within its aims: %v", got)
	}
	if got := (pushed{all: 6 * time.Second, uplink: 2e6}).missedAgain(); len(got) != 2 {
		t.Errorf("a second push beyond its aims: %v", got)
	}
	if err := (&missedError{[]string{"a", "b"}}).Error(); err != "missed aims:\n  a\n  b" {
		t.Errorf("%q", err)
	}
}

// TestSeeds: seeds that differ anywhere in their 64 bits make other blobs.
func TestSeeds(t *testing.T) {
	seen := map[string]uint64{}
	for _, seed := range []uint64{1, 1 << 8, 1 << 40, 1 << 63} {
		l := layout{dir: t.TempDir(), seed: seed}
		if err := l.write(15 << 10); err != nil {
			t.Fatal(err)
		}
		blobs, err := os.ReadDir(filepath.Join(l.dir, "blobs", "sha256"))
		if err != nil || len(blobs) != imagesPerLayout*(layersPerImage+2) {
			t.Fatalf("%d blobs, %v", len(blobs), err)
		}
		for _, b := range blobs {
			if other, ok := seen[b.Name()]; ok {
				t.Errorf("seeds %d and %d have blob %s in common", other, seed, b.Name())
			}
			seen[b.Name()] = seed
		}
	}
}

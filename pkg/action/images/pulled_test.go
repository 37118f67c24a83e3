package images

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPulledImages: what was pulled stays for the next try until a push has ended
// well; two at once do not share, nor does the one remove what the other uses.
func TestPulledImages(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "cache")
	take := func() *pulledImages {
		t.Helper()
		p, err := takePulledImages(cache, "images-x")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	end := func(p *pulledImages, served bool) {
		t.Helper()
		if err := p.end(served); err != nil {
			t.Fatal(err)
		}
	}
	left := func() int {
		t.Helper()
		entries, err := os.ReadDir(cache)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	first := take()
	if err := os.WriteFile(first.bundle(), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	beside := take()
	if beside.dir == first.dir {
		t.Error("two at once have the same directory")
	}
	end(first, false)
	again := take()
	if _, err := os.Stat(again.bundle()); err != nil {
		t.Errorf("what a failed push had pulled: %v", err)
	}
	end(beside, false)
	if n := left(); n != 1 {
		t.Errorf("%d entries are left beside the one in use", n)
	}
	end(again, true)
	if n := left(); n != 0 {
		t.Errorf("%d entries are left after a push that went well", n)
	}
	end(nil, true)
}

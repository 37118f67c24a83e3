package bootstrap

import "testing"

func TestHolderID(t *testing.T) {
	one, other := t.TempDir(), t.TempDir()
	seen := map[string]int{}
	for _, dir := range []string{one, one, other} {
		id, err := HolderID(dir)
		if err != nil || len(id) != 32 {
			t.Fatalf("%q, %v", id, err)
		}
		seen[id]++
	}
	if len(seen) != 2 {
		t.Errorf("two directories have %v", seen)
	}
	if _, err := HolderID(one + "/missing"); err == nil {
		t.Error("a directory that is not there has one")
	}
}

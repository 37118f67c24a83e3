package swarm

import (
	"math/rand/v2"
	"testing"
)

// set is a bitset of these numbers.
func set(numbers ...int) bitset {
	b := newBitset(16)
	for _, n := range numbers {
		b.set(n)
	}
	return b
}

func TestPick(t *testing.T) {
	zero := func(int) int { return 0 }
	last := func(n int) int { return n - 1 }
	for name, test := range map[string]struct {
		needs   []need
		sources []source
		intn    func(int) int
		piece   int
		from    int
		none    bool
	}{
		"nothing needed": {sources: []source{{has: set(1), free: 2}}, none: true},
		"nobody there":   {needs: []need{{piece: 1}}, none: true},
		"nobody has it":  {needs: []need{{piece: 1}}, sources: []source{{has: set(2), free: 2}}, none: true},
		"the rarest": {needs: []need{{piece: 1}, {piece: 2}}, piece: 2, from: 1,
			sources: []source{{has: set(1), free: 2}, {has: set(1, 2), free: 2}}},
		"rarity counts those who have no time": {needs: []need{{piece: 1}, {piece: 2}}, piece: 2, from: 0,
			sources: []source{{has: set(1, 2), free: 2}, {has: set(1)}}},
		"first of equals by chance": {needs: []need{{piece: 1}, {piece: 2}}, piece: 1, from: 0, intn: last,
			sources: []source{{has: set(1, 2), free: 2}}},
		"last of equals by chance": {needs: []need{{piece: 1}, {piece: 2}}, piece: 2, from: 0, intn: zero,
			sources: []source{{has: set(1, 2), free: 2}}},
		"least load": {needs: []need{{piece: 1}}, piece: 1, from: 1,
			sources: []source{{has: set(1), free: 1, load: 1}, {has: set(1), free: 2}}},
		"no time left": {needs: []need{{piece: 1}}, sources: []source{{has: set(1)}}, none: true},
		"busy with it": {needs: []need{{piece: 1}, {piece: 2}}, piece: 2, from: 0,
			sources: []source{{has: set(1, 2), free: 2, busy: map[int]bool{1: true}}}},
		"slow, and another has it but no time": {needs: []need{{piece: 1}}, none: true,
			sources: []source{{has: set(1), free: 1, slow: true}, {has: set(1)}}},
		"slow, and the only one": {needs: []need{{piece: 1}}, piece: 1, from: 0,
			sources: []source{{has: set(1), free: 1, slow: true}, {has: set(2), free: 2}}},
		"again elsewhere": {needs: []need{{piece: 1, asked: []int{0}}}, piece: 1, from: 1,
			sources: []source{{has: set(1), free: 1}, {has: set(1), free: 1}}},
		"again, but from nobody else": {needs: []need{{piece: 1, asked: []int{0}}}, none: true,
			sources: []source{{has: set(1), free: 1}}},
		"again from another slow one": {needs: []need{{piece: 1, asked: []int{0}}}, piece: 1, from: 1,
			sources: []source{{has: set(1), slow: true}, {has: set(1), free: 1, slow: true}}},
		"new before again": {needs: []need{{piece: 1, asked: []int{0}}, {piece: 2}}, piece: 2, from: 0,
			sources: []source{{has: set(2), free: 1}, {has: set(1, 2), free: 1}}, intn: last},
	} {
		t.Run(name, func(t *testing.T) {
			intn := test.intn
			if intn == nil {
				intn = zero
			}
			n, from, ok := pick(test.needs, test.sources, intn)
			if ok == test.none || (ok && (n.piece != test.piece || from != test.from)) {
				t.Errorf("piece %d from %d, %t", n.piece, from, ok)
			}
		})
	}
}

// Equals are chosen evenly.
func TestPickByChance(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pieces, from := map[int]int{}, map[int]int{}
	for range 4000 {
		n, s, _ := pick([]need{{piece: 1}, {piece: 2}, {piece: 3}, {piece: 4}},
			[]source{{has: set(1, 2, 3, 4), free: 1}, {has: set(1, 2, 3, 4), free: 1}}, random.IntN)
		pieces[n.piece]++
		from[s]++
	}
	for n := 1; n <= 4; n++ {
		if pieces[n] < 800 || pieces[n] > 1200 {
			t.Errorf("pieces: %v", pieces)
		}
	}
	if from[0] < 1800 || from[0] > 2200 {
		t.Errorf("sources: %v", from)
	}
}

func TestBitset(t *testing.T) {
	a, b := set(0, 7, 8, 15), set(7, 9)
	if got := a.without(b); len(got) != 3 || got[0] != 0 || got[1] != 8 || got[2] != 15 {
		t.Errorf("%v", got)
	}
	if got := b.without(nil); len(got) != 2 {
		t.Errorf("%v", got)
	}
	b.add(a)
	b.clear(9)
	b.set(1000)
	b.clear(1000)
	if b.has(9) || b.has(1000) || !b.has(15) || !b.has(7) {
		t.Errorf("%v", b)
	}
}

func TestLayout(t *testing.T) {
	c := load(t, 60, 500, testPiece, testPiece+1, 3*testPiece-1)
	l := newLayout(c.parcel)
	if l.pieces() != 7 {
		t.Fatalf("%d pieces", l.pieces())
	}
	for piece, want := range []struct {
		blob         int
		offset, size int64
	}{{0, 0, 500}, {1, 0, testPiece}, {2, 0, testPiece}, {2, testPiece, 1}, {3, 0, testPiece},
		{3, testPiece, testPiece}, {3, 2 * testPiece, testPiece - 1}} {
		b, offset, size := l.at(piece)
		if l.blobOf(piece) != want.blob || offset != want.offset || size != want.size {
			t.Errorf("piece %d: blob %d at %d, %d bytes", piece, l.blobOf(piece), offset, size)
		}
		if !l.right(piece, c.source[b.Digest][offset:offset+size]) {
			t.Errorf("piece %d is wrong", piece)
		}
	}
	all := newBitset(8)
	all.set(3)
	sum, had := l.bytes(all, func(piece int) bool { return piece == 6 })
	if sum != 3*testPiece-1 || had != testPiece-1 {
		t.Errorf("%d, %d", sum, had)
	}
}

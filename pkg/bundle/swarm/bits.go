package swarm

import "math/bits"

// bitset is a set of small numbers. What lies beyond its end is not in it.
type bitset []byte

func newBitset(n int) bitset { return make(bitset, (n+7)/8) }

func (b bitset) has(n int) bool { return n>>3 < len(b) && b[n>>3]&(1<<(n&7)) != 0 }

// set and clear do nothing beyond the end.
func (b bitset) set(n int) {
	if n>>3 < len(b) {
		b[n>>3] |= 1 << (n & 7)
	}
}

func (b bitset) clear(n int) {
	if n>>3 < len(b) {
		b[n>>3] &^= 1 << (n & 7)
	}
}

func (b bitset) clone() bitset { return append(bitset{}, b...) }

// add puts in what other has, up to b's end.
func (b bitset) add(other bitset) {
	for i := range min(len(b), len(other)) {
		b[i] |= other[i]
	}
}

// without lists what is in b and not in other.
func (b bitset) without(other bitset) (list []int) {
	for i, x := range b {
		if i < len(other) {
			x &^= other[i]
		}
		for ; x != 0; x &= x - 1 {
			list = append(list, i*8+bits.TrailingZeros8(x))
		}
	}
	return list
}

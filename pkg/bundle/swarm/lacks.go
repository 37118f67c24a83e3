package swarm

import "github.com/opencontainers/go-digest"

// Lacks tells how many bytes of some blobs of the parcel this node has neither in
// Config.Local nor staged, and how many Config.Local alone lacks. Blobs that are not
// in the parcel are passed over; it is to be called once that is there.
func (p *Peer) Lacks(blobs ...digest.Digest) (unstaged, foreign int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.layout == nil {
		return 0, 0
	}
	some := newBitset(len(p.layout.parcel.Blobs))
	for _, d := range blobs {
		if n, ok := p.layout.byDigest[d]; ok && !p.local[n] {
			some.set(n)
		}
	}
	foreign, staged := p.layout.bytes(some, p.have.has)
	return foreign - staged, foreign
}

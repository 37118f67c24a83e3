package swarm

import "slices"

// wantedAndMissing tells which blobs this peer or a reachable one wants, and
// which of their pieces, in order, somebody wants who can get them from nobody.
// With all, also those that this peer could give them if it had them, although
// others have them. The lock is held.
func (p *Peer) wantedAndMissing(all bool) (wanted bitset, missing []int) {
	// Most peers avoid nobody: their wants are looked at together.
	wanted, common := p.wanted.clone(), p.wanted.clone()
	var wary []*other
	for _, o := range p.others {
		if !o.reachable {
			continue
		}
		wanted.add(o.wants)
		if len(o.avoids) > 0 {
			wary = append(wary, o)
		} else {
			common.add(o.wants)
		}
	}
	l := p.layout
	for blob := range l.parcel.Blobs {
		if !wanted.has(blob) {
			continue
		}
		for piece := l.first[blob]; piece < l.first[blob+1]; piece++ {
			if all && !p.have.has(piece) && p.lackedByAny(blob, piece) {
				missing = append(missing, piece)
				continue
			}
			lacks := common.has(blob) && !p.available(piece, nil)
			for _, o := range wary {
				lacks = lacks || (o.wants.has(blob) && !o.have.has(piece) && !p.available(piece, o.avoids))
			}
			if lacks {
				missing = append(missing, piece)
			}
		}
	}
	return wanted, missing
}

// lackedByAny says that this peer or a reachable one wants a piece and does not
// have it. The lock is held.
func (p *Peer) lackedByAny(blob, piece int) bool {
	if p.wanted.has(blob) && !p.have.has(piece) {
		return true
	}
	for _, o := range p.others {
		if o.reachable && o.wants.has(blob) && !o.have.has(piece) {
			return true
		}
	}
	return false
}

// available says that a piece is here, or at a reachable peer that neither was
// dropped nor is one of avoids. The lock is held.
func (p *Peer) available(piece int, avoids []string) bool {
	if p.have.has(piece) {
		return true
	}
	for _, o := range p.others {
		if o.reachable && o.dropped == "" && o.have.has(piece) && !slices.Contains(avoids, o.addr) {
			return true
		}
	}
	return false
}

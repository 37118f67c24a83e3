package swarm

// need is a piece that is wanted and missing.
type need struct {
	piece int
	// asked are the sources that it is being fetched from, too slowly.
	asked []int
}

// source is another peer as the choice sees it.
type source struct {
	has bitset
	// free is how many more requests it may be sent now; 0 also while it is left
	// in peace after a failure.
	free int
	// slow says that it took far longer than others, load how many requests it
	// has.
	slow bool
	load int
	// busy are pieces that it does not want to be asked for at the moment.
	busy map[int]bool
}

// pick chooses what to fetch next, and from which source: first what is not
// being fetched yet, of that the piece that fewest sources have, by chance among
// equals, from the source with the least load. A slow source is asked only for
// what no other has, or what another slow one has as well. intn is a random
// number below its argument. ok is false when there is nothing to be done now.
func pick(needs []need, sources []source, intn func(int) int) (chosen need, from int, ok bool) {
	best, ties := 0, 0
	for _, n := range needs {
		s, holders := sourceFor(n, sources, intn)
		if s < 0 {
			continue
		}
		// Repeated requests come after all others.
		rank := holders + len(n.asked)*(len(sources)+1)
		switch {
		case !ok || rank < best:
			best, ties = rank, 1
		case rank == best:
			if ties++; intn(ties) != 0 {
				continue
			}
		default:
			continue
		}
		chosen, from, ok = n, s, true
	}
	return chosen, from, ok
}

// sourceFor is the source that a piece is best fetched from, -1 when there is
// none now, and how many have it.
func sourceFor(n need, sources []source, intn func(int) int) (best, holders int) {
	best = -1
	fast := false
	for i := range sources {
		if sources[i].has.has(n.piece) {
			holders++
			fast = fast || (!sources[i].slow && !contains(n.asked, i))
		}
	}
	ties := 0
	for i := range sources {
		s := &sources[i]
		if !s.has.has(n.piece) || s.free <= 0 || s.busy[n.piece] || (s.slow && fast) || contains(n.asked, i) {
			continue
		}
		switch {
		case best < 0 || s.load < sources[best].load:
			best, ties = i, 1
		case s.load == sources[best].load:
			if ties++; intn(ties) == 0 {
				best = i
			}
		}
	}
	return best, holders
}

func contains(list []int, n int) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

package swarm

import "time"

// UnreachedAfter is for how long a peer can't be reached before that is worth a word:
// its port may be closed.
const UnreachedAfter = 30 * time.Second

// Unreached tells of peers that can't be reached, each once. It is not to be used by
// two goroutines at once.
type Unreached struct {
	since map[string]time.Time
	told  map[string]bool
}

// Look gives those of peers that could not be reached for UnreachedAfter and have not
// been told of. One that was complete has ended, which is no news.
func (u *Unreached) Look(peers []PeerStatus, now time.Time) (news []PeerStatus) {
	if u.since == nil {
		u.since, u.told = map[string]time.Time{}, map[string]bool{}
	}
	for _, p := range peers {
		since, known := u.since[p.Addr]
		switch {
		case p.Reachable || p.Complete:
			delete(u.since, p.Addr)
			delete(u.told, p.Addr)
		case !known:
			u.since[p.Addr] = now
		case now.Sub(since) >= UnreachedAfter && !u.told[p.Addr]:
			u.told[p.Addr] = true
			news = append(news, p)
		}
	}
	return news
}

package swarm

import (
	"context"
	"io"
	"net/http"
	"time"
)

// begPath is where a peer tells its wants to one that does not hear it.
const begPath = "/wants"

// begging is how often it is looked whether that is needed, begAfter how long one
// that was reached has to begin to listen. begWithin bounds one request.
const (
	begging   = time.Second
	begAfter  = 2 * time.Second
	begWithin = 10 * time.Second
)

// beg tells what this peer wants to peers that are fed and do not listen to what it
// has, because a firewall keeps them from it: they then want the same, and it can
// have it from them.
func (p *Peer) beg(ctx context.Context) {
	tick := time.NewTicker(begging)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		wants := p.wanted.clone()
		var deaf []*other
		for _, o := range p.others {
			if p.layout != nil && o.reachable && o.feed && o.hears == 0 && o.begged != string(wants) && time.Since(o.reached) > begAfter {
				deaf = append(deaf, o)
			}
		}
		p.mu.Unlock()
		for _, o := range deaf {
			// One that does not answer is asked again.
			if p.begOf(ctx, o, wants) == nil {
				p.mu.Lock()
				o.begged = string(wants)
				p.wake()
				p.mu.Unlock()
			}
		}
	}
}

func (p *Peer) begOf(ctx context.Context, o *other, wants bitset) error {
	ctx, cancel := context.WithTimeout(ctx, begWithin)
	defer cancel()
	res, err := p.request(ctx, o, http.MethodPost, begPath, wants)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// serveBeg takes the wants of a peer that can't be reached as this one's own.
func (p *Peer) serveBeg(w http.ResponseWriter, r *http.Request) {
	wants, err := io.ReadAll(io.LimitReader(r.Body, maxBlobs/8+1))
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || p.layout == nil {
		http.Error(w, "not yet", http.StatusServiceUnavailable)
		return
	}
	for n, b := range p.layout.parcel.Blobs {
		if bitset(wants).has(n) {
			p.asked[b.Digest] = true
		}
	}
	p.applyWants()
}

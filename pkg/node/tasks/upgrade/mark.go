package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// stateDir has the marks, and what a boot needs to take an unfinished upgrade back.
const stateDir = host.StateDir + "/upgrade"

// state is how far a part's upgrade is.
type state string

const (
	// begun: what is kept of From is what was there; the part itself may be anything.
	begun state = "begun"
	// done: the part is at To, and well.
	done state = "done"
	// takenBack: the part is at From again.
	takenBack state = "taken back"
	// standing: the upgrade was begun and nobody goes on with it, and the part is whole at a
	// version after From. A boot leaves it as it is; the next upgrade or rollback goes on.
	standing state = "standing"
)

// mark is how far the upgrade of one part of the node is. It is written whole,
// before what it tells of.
type mark struct {
	From  string `json:"from"`
	To    string `json:"to"`
	State state  `json:"state"`
	// Since is when it was begun, or gone on with last; zero in marks of before it was noted.
	Since time.Time `json:"since,omitzero"`
}

func markPath(p part) string { return path.Join(stateDir, string(p)+".json") }

// readMark reads a part's mark; one that was never written is empty.
func readMark(h *host.Host, p part) (mark, error) {
	var m mark
	raw, err := h.ReadFile(markPath(p))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("%s can't be read: %w", markPath(p), err)
	}
	return m, nil
}

func (m mark) write(ctx context.Context, h *host.Host, p part) error {
	if m.State == begun {
		m.Since = time.Now().UTC()
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = h.WriteFile(ctx, host.File{Path: markPath(p), Mode: 0o600, Content: append(raw, '\n'), Note: "how far the upgrade of the " + string(p) + " is"})
	return err
}

// unfinished reads what a part's begun upgrade comes from. ok is false when none is begun, or it was ended.
func unfinished(h *host.Host, p part) (m mark, k kept, ok bool, err error) {
	if m, err = readMark(h, p); err != nil || m.State != begun && m.State != standing {
		return m, k, false, err
	}
	k, err = readKept(h, m.From, p)
	if err != nil {
		return m, k, false, host.WithHint(fmt.Errorf("an upgrade from %s to %s was begun on this host, and what was kept for it is gone: %w", m.From, m.To, err),
			"put /etc/kubernetes back from a backup of this host, or take the node out of the cluster and add it again")
	}
	return m, k, true, nil
}

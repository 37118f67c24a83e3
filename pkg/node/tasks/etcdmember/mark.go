package etcdmember

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// markPath tells whose the data is. It is written before etcd is first started.
const markPath = host.StateDir + "/etcd/member.json"

// mark is what markPath holds.
type mark struct {
	Name    string `json:"name"`
	Token   string `json:"token"`
	DataDir string `json:"dataDir"`
}

func readMark(h *host.Host) (*mark, error) {
	raw, err := h.ReadFile(markPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m mark
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%s can't be read: %w", markPath, err)
	}
	return &m, nil
}

func (s Spec) writeMark(ctx context.Context, h *host.Host) error {
	raw, err := json.Marshal(mark{Name: s.Name, Token: s.Token, DataDir: s.DataDir})
	if err != nil {
		return err
	}
	_, err = h.WriteFile(ctx, host.File{Path: markPath, Mode: 0o600, Content: append(raw, '\n'), Note: "whose etcd data this host has"})
	return err
}

// admit decides whether a member may be started with what is there. It is what
// keeps a member that lost its data from voting again with an empty log, and
// foreign data from being taken over.
func admit(s Spec, m *mark, hasData bool) error {
	switch {
	case hasData && m == nil:
		return host.WithHint(fmt.Errorf("%s holds the data of an etcd that kubectl-ha did not make", s.DataDir),
			"move it away when it is not needed, or set etcd.dataDir to another directory")
	case m != nil && m.DataDir != s.DataDir:
		return host.WithHint(fmt.Errorf("this host's etcd keeps its data in %s, not in %s", m.DataDir, s.DataDir),
			"leave etcd.dataDir as it was: a member's data can't be moved by changing it")
	case hasData && m.Token != s.Token:
		return host.WithHint(fmt.Errorf("%s holds the data of a member of another etcd cluster", s.DataDir),
			"use the state that the workstation kept of this cluster, or take the host out of the other cluster first")
	case hasData && m.Name != s.Name:
		return host.WithHint(fmt.Errorf("%s holds the data of the member %s, not of %s", s.DataDir, m.Name, s.Name),
			"leave the host's name as it was")
	case !hasData && !s.New && !s.Join:
		return host.WithHint(fmt.Errorf("the etcd cluster exists, but its member %s has no data in %s", s.Name, s.DataDir),
			"a lost member is never started empty, since it may have voted: replace it with kubectl ha node replace, or put its data back")
	}
	return nil
}

// ownDirectory refuses a data directory in which somebody has something, before it is the
// first time etcd's: an uninstall empties it.
func (s Spec) ownDirectory(h *host.Host) error {
	entries, err := h.ReadDir(s.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for etcd's data: %w", err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" { // A file system of its own has that.
			return host.WithHint(fmt.Errorf("%s is to be etcd's alone, and has %s in it", s.DataDir, e.Name()),
				"move that away when it is not needed, or set etcd.dataDir to another directory")
		}
	}
	return nil
}

package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// Run does one step.
func Run(ctx context.Context, env node.Env, spec Spec) (any, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	h := env.Host
	if _, err := h.Mkdir(ctx, Dir, 0o700, 0, 0); err != nil {
		return nil, err
	}
	switch spec.Action {
	case Receive:
		return receive(ctx, h, spec)
	case Fetch:
		return fetch(ctx, env, spec)
	case Salvage:
		return salvage(ctx, env, spec)
	case Stage:
		return stage(ctx, env, spec)
	case StopAPI:
		return stopAPI(ctx, env, spec)
	case Swap:
		return swap(ctx, env, spec)
	case Aside:
		return asideOnly(ctx, env, spec)
	case Start:
		return start(ctx, env)
	case ServeAPI:
		return serve(ctx, env, "kube-apiserver.yaml")
	case Serve:
		return serveRest(ctx, env)
	case Finish:
		return finish(ctx, h, spec)
	case TakeBack:
		return takeBack(ctx, env, spec)
	}
	return nil, fmt.Errorf("restore: there is no step %q", spec.Action)
}

// readState is nil when there was no restore.
func readState(h *host.Host) (*State, error) {
	raw, err := h.ReadFile(statePath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s State
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s can't be read: %w", statePath, err)
	}
	return &s, nil
}

func writeState(ctx context.Context, h *host.Host, s State) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	_, err = h.WriteFile(ctx, host.File{Path: statePath, Mode: 0o600, Content: append(raw, '\n'), Note: "how far a restore of etcd is"})
	return err
}

// own is the state of this restore; an error when there is none, or one of another.
func own(h *host.Host, spec Spec) (State, error) {
	s, err := readState(h)
	if err == nil && s == nil {
		err = fmt.Errorf("nothing was staged here for the restore %s", spec.ID)
	}
	if err == nil && s.ID != spec.ID {
		err = fmt.Errorf("this host is in the restore %s, not in %s", s.ID, spec.ID)
	}
	if err != nil {
		return State{}, err
	}
	return *s, nil
}

func finish(ctx context.Context, h *host.Host, spec Spec) (any, error) {
	s, err := readState(h)
	if err != nil {
		return nil, err
	}
	if s == nil || s.ID != spec.ID {
		return Data{Already: true}, nil // A host that only served the API.
	}
	if _, err := h.Remove(ctx, SnapshotPath); err != nil {
		return nil, err
	}
	if _, err := h.RemoveTree(ctx, stoppedDir); err != nil {
		return nil, err
	}
	s.Finished = true
	return Data{}, writeState(ctx, h, *s)
}

// move renames through the gate; both are on one file system.
func move(ctx context.Context, h *host.Host, from, to, why string) error {
	return h.Do(ctx, "move", from+" to "+to, why, func(context.Context) error {
		if err := os.Rename(h.Path(from), h.Path(to)); err != nil {
			return err
		}
		return errors.Join(syncDir(filepath.Dir(h.Path(to))), syncDir(filepath.Dir(h.Path(from))))
	})
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

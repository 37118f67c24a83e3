package uninstall

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/localfile"
)

const recordFile = "uninstall.json"

// unfinishedLife is for how long the snapshot of a run that was cut off stands for one
// that can't be taken any more: after that the cluster may have been made anew.
const unfinishedLife = 24 * time.Hour

// record is what an uninstall that left hosts for later, or was cut off, keeps on this
// machine: the next one can't take a snapshot any more when etcd's other members are gone.
type record struct {
	// Snapshot is the file that was taken; empty for none.
	Snapshot string `json:"snapshot,omitempty"`
	// Done are the hosts that are free of the cluster.
	Done []string `json:"done"`
	// Unfinished says that the run that took the snapshot has not ended. It may have done
	// nothing to the hosts, so another snapshot is taken where that is possible.
	Unfinished bool `json:"unfinished,omitempty"`
}

// readRecord reads what an earlier uninstall kept. It does not count when the
// cluster was made anew since, or its snapshot is gone.
func readRecord(stateDir string, seen map[string]Seen) (record, error) {
	raw, err := os.ReadFile(filepath.Join(stateDir, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	var r record
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err != nil {
		return record{}, fmt.Errorf("read what an earlier uninstall kept in %s: %w", stateDir, err)
	}
	if slices.ContainsFunc(r.Done, func(host string) bool { return seen[host].Cluster != "" }) {
		return record{}, nil
	}
	if r.Snapshot == "" {
		return r, nil
	}
	info, err := os.Stat(r.Snapshot)
	if err != nil || r.Unfinished && time.Since(info.ModTime()) > unfinishedLife {
		return record{}, nil //nolint:nilerr // a new one is taken
	}
	return r, nil
}

// write keeps the record, or removes it when no host is left.
func (r record) write(stateDir string, c *v1alpha1.Cluster) error {
	path := filepath.Join(stateDir, recordFile)
	if len(r.Done) == len(c.Spec.Hosts) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	return localfile.Write(path, append(raw, '\n'), 0o600)
}

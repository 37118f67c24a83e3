// Package restore puts the etcd of a cluster back to a snapshot, one step of it on one host at a
// time: whoever calls sees to it that a step is through on all hosts before the next begins.
//
// Nothing of etcd's data is deleted: it is put aside beside the new one, under a name that has the
// restore's ID. Each step can be run again, and does what is left of it.
package restore

import (
	"fmt"
	"path"
	"regexp"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
)

const (
	// Dir has what a restore needs on a host.
	Dir = host.StateDir + "/restore"
	// SnapshotPath is the snapshot that is restored.
	SnapshotPath = Dir + "/etcd-snapshot.db"
	partialPath  = SnapshotPath + ".partial"
	statePath    = Dir + "/state.json"
	// stoppedDir is on the file system of the manifests, so that each is in one of both places.
	stoppedDir = "/etc/kubernetes/kubectl-ha-restore"

	manifestsDir = "/etc/kubernetes/manifests"
	kubeletUnit  = "kubelet.service"

	// ChunkBytes is how much of a snapshot travels in one request.
	ChunkBytes = 4 << 20

	// bumpRevision makes every revision newer than any that a client has seen: a controller that
	// has seen the future would go on by what it remembers of it.
	// https://etcd.io/docs/v3.6/op-guide/recovery/#restoring-with-revision-bump
	bumpRevision = 1_000_000_000
)

// Action is a step of a restore.
type Action string

// The steps, in their order.
const (
	// Receive writes a piece of the snapshot, Fetch reads all of it from a backup target or from a
	// backup on this host, and Salvage makes one of this member's own data.
	Receive, Fetch, Salvage Action = "receive", "fetch", "salvage"
	// Stage reads the snapshot back, and restores it beside the data that is in use. Until here
	// nothing of the cluster was touched.
	Stage Action = "stage"
	// StopAPI takes away the manifests of the control plane's static pods, and waits until the
	// apiserver has ended.
	StopAPI Action = "stop-api"
	// Swap stops etcd, and exchanges its data for what was staged; Aside only puts it aside, on a
	// member that is left out.
	Swap, Aside Action = "swap", "aside"
	// Start starts etcd, and does not wait for a quorum.
	Start Action = "start"
	// ServeAPI puts back the manifest of the apiserver, Serve those that are left; Serve restarts
	// the kubelet as well.
	ServeAPI, Serve Action = "serve-api", "serve"
	// Finish notes that the restore is through.
	Finish Action = "finish"
	// TakeBack stops etcd, and exchanges its data for what was put aside.
	TakeBack Action = "take-back"
)

// id is what a restore can be called: it becomes part of names, and of etcd's cluster token.
var id = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Member is one of the restored cluster.
type Member struct {
	Name    string `json:"name"`
	PeerURL string `json:"peerURL"`
}

// Spec is one step on a host.
type Spec struct {
	Action Action `json:"action"`
	// ID is the restore's.
	ID      string `json:"id"`
	DataDir string `json:"dataDir,omitempty"`
	// Name is this host's member among Members.
	Name    string   `json:"name,omitempty"`
	Members []Member `json:"members,omitempty"`
	// SHA256 (hex) of the snapshot, and Bytes its size. With Salvage they are not known before.
	SHA256 string `json:"sha256,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	// Offset and Data are a piece of the snapshot, with Receive.
	Offset int64  `json:"offset,omitempty"`
	Data   []byte `json:"data,omitempty"`
	// Backup is the name of a backup on this host, with Fetch.
	Backup string `json:"backup,omitempty"`
	// Store, Folder, Part and Key are where it is read from, with Fetch. Key opens this one object.
	Store  *store.Config  `json:"store,omitempty"`
	Folder string         `json:"folder,omitempty"`
	Part   backup.Part    `json:"part,omitzero"`
	Key    backup.FileKey `json:"key,omitempty"`
	// APIAddress (address:port) is where this host's apiserver listens, with StopAPI.
	APIAddress string `json:"apiAddress,omitempty"`
}

// Data is what a step has to say.
type Data struct {
	// Snapshot is what was staged or salvaged.
	Snapshot *taskbackup.Snapshot `json:"snapshot,omitempty"`
	// Have is how many bytes of the snapshot are here, with Receive.
	Have int64 `json:"have,omitempty"`
	// Already is true when there was nothing left to do.
	Already bool `json:"already,omitempty"`
}

// State is what a host remembers of a restore.
type State struct {
	ID      string    `json:"id"`
	SHA256  string    `json:"sha256"`
	Bytes   int64     `json:"bytes"`
	Members []Member  `json:"members"`
	Begun   time.Time `json:"begun"`
	// Staged, Swapped and Finished are set when these are through.
	Staged   bool `json:"staged,omitempty"`
	Swapped  bool `json:"swapped,omitempty"`
	Finished bool `json:"finished,omitempty"`
}

// LookSpec asks what a host has.
type LookSpec struct {
	DataDir string `json:"dataDir"`
}

// LookData is what a host has.
type LookData struct {
	// Backups on its disk, the newest first.
	Backups []taskbackup.Backup `json:"backups,omitempty"`
	// State is nil when there was no restore.
	State *State `json:"state,omitempty"`
	// Name and PeerURL are its member's, as its configuration has them; empty when it has none.
	Name    string `json:"name,omitempty"`
	PeerURL string `json:"peerURL,omitempty"`
	// CASince is since when the CA counts that signs for Kubernetes here, and CAs how many are trusted;
	// zero on a host that is no node.
	CASince time.Time `json:"caSince,omitzero"`
	CAs     int       `json:"cas,omitempty"`
	// QuotaBytes is the most that its database may take; zero when its configuration does not say.
	QuotaBytes int64 `json:"quotaBytes,omitempty"`
	// HasData: there is a member's data. Applied is the index of what it has applied, and Revision
	// etcd's there; both zero when they can't be told.
	HasData  bool   `json:"hasData,omitempty"`
	Applied  uint64 `json:"applied,omitempty"`
	Revision int64  `json:"revision,omitempty"`
	// Unknown says why they can't be told.
	Unknown string `json:"unknown,omitempty"`
	// EtcdVersion is that of the program on this host, such as 3.6.16.
	EtcdVersion string `json:"etcdVersion,omitempty"`
	// Manifests are static pods that a restore has taken away.
	Manifests []string `json:"manifests,omitempty"`
	// AsideOf are the IDs of restores whose data is still put aside here.
	AsideOf []string `json:"asideOf,omitempty"`
}

// ReadSpec reads a piece of a backup's snapshot, or of what was salvaged.
type ReadSpec struct {
	// Backup is its name; empty for the snapshot of the restore itself.
	Backup string `json:"backup,omitempty"`
	Offset int64  `json:"offset"`
}

// ReadData is a piece; it is a secret. It ends the file when it is shorter than ChunkBytes.
type ReadData struct {
	Data []byte `json:"data"`
}

func (s Spec) check() error {
	if !id.MatchString(s.ID) {
		return fmt.Errorf("restore: %q can't be the ID of a restore", s.ID)
	}
	switch s.Action {
	case Stage, Swap, Aside, TakeBack, Salvage:
		if !path.IsAbs(s.DataDir) || path.Clean(s.DataDir) != s.DataDir || s.DataDir == "/" {
			return fmt.Errorf("restore: the data directory %q is not a clean absolute path", s.DataDir)
		}
	}
	return nil
}

// Names of what lies in etcd's data directory.
func (s Spec) member() string { return path.Join(s.DataDir, "member") }
func (s Spec) staged() string { return path.Join(s.DataDir, "restored-"+s.ID) }
func (s Spec) aside() string  { return path.Join(s.DataDir, asidePrefix+s.ID) }

const asidePrefix = "member.before-"

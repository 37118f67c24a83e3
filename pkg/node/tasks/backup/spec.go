package backup

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// Dir has a directory per backup, called as the Operation.
	Dir = host.StateDir + "/backups"
	// SnapshotName is etcd's snapshot within a backup's directory, as `etcdutl
	// snapshot restore` takes it. ArchiveName is the tar.gz of the host's files,
	// with paths from the root.
	SnapshotName = "etcd-snapshot.db"
	ArchiveName  = "host.tar.gz"
	indexName    = "backup.json"

	// ScheduledPrefix begins the names of backups that a schedule has made: what it has too many of
	// goes for them alone, and not what somebody has made by hand, or an upgrade.
	ScheduledPrefix = "scheduled-"

	// DefaultKeep is how many backups a host keeps.
	DefaultKeep = 3
	// Timeout is what a backup may take: the largest etcd has 8 GiB.
	Timeout = 15 * time.Minute
)

// Scheduled tells whether a backup of this name was made by a schedule.
func Scheduled(name string) bool { return strings.HasPrefix(name, ScheduledPrefix) }

// Spec makes one backup of a host.
type Spec struct {
	// Operation is the backup's name. Made already, it is not made again.
	Operation string `json:"operation"`
	// Endpoints of etcd (https://address:2379), of which the first that is well gives
	// the snapshot: a member's own stands first. Without any there is only the archive.
	Endpoints []string `json:"endpoints,omitempty"`
	// Keep is how many whole backups are left afterwards, with this one; the oldest
	// go. Daily and Weekly: of how many days and ISO weeks (UTC) that have one the newest is left as
	// well. All zero: DefaultKeep. Scheduled backups and all others are counted each for themselves.
	Keep   int `json:"keep,omitempty"`
	Daily  int `json:"daily,omitempty"`
	Weekly int `json:"weekly,omitempty"`
	// Protect are names of backups that stay, however many there are: the one of before the
	// first try at an upgrade that is not through is the last of the cluster as it was.
	Protect []string `json:"protect,omitempty"`
	// Hold notes on the host that the backup is of before a change that is not through, of which
	// nobody else may know: of each change the oldest one that is held stays, whoever makes the next
	// backups. For names the change, such as upgrade v3.7.3. Release holds none any more.
	Hold    bool   `json:"hold,omitempty"`
	For     string `json:"for,omitempty"`
	Release bool   `json:"release,omitempty"`
}

// Data is what was done.
type Data struct {
	Backup
	// Already is true when the backup was there, and is whole.
	Already bool `json:"already,omitempty"`
	// Removed are the backups that had to go for it, with directories of ones that were never
	// finished.
	Removed []string `json:"removed,omitempty"`
}

// Backup is one that is whole.
type Backup struct {
	// Name is that of the Operation that made it.
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Snapshot is nil where none was asked for.
	Snapshot *Snapshot `json:"snapshot,omitempty"`
	Archive  Archive   `json:"archive"`
	// Held: it is of before a change that is not through, which For names.
	Held bool   `json:"held,omitempty"`
	For  string `json:"for,omitempty"`
}

// Content is what is in it, and where, in a line.
func (b Backup) Content() string {
	text := fmt.Sprintf("%s: %d files of the host", path.Join(Dir, b.Name), b.Archive.Files)
	if b.Snapshot != nil {
		text += fmt.Sprintf(", etcd at revision %d, %s", b.Snapshot.Revision, report.Size(b.Snapshot.Bytes))
	}
	return text
}

// Snapshot is etcd's part.
type Snapshot struct {
	Endpoint string `json:"endpoint"`
	// Revision of etcd that a restore goes on from.
	Revision int64 `json:"revision"`
	// Entries is the number of keys' revisions in it.
	Entries int64  `json:"entries"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
}

// Archive is the host's part.
type Archive struct {
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// ListSpec asks for the host's backups. The task reads only.
type ListSpec struct {
	// Verify reads every file, and compares its digest.
	Verify bool `json:"verify,omitempty"`
}

// ListData are the whole backups, the newest first.
type ListData struct {
	Backups []Backup `json:"backups,omitempty"`
	// Broken are the directories that are no whole backup, with what is wrong.
	Broken map[string]string `json:"broken,omitempty"`
}

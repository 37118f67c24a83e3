package etcdcare

import (
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

const (
	// LookTimeout bounds a look, CompareTimeout one with the members' hashes: reading a database
	// of 8 GiB takes a minute or two.
	LookTimeout    = time.Minute
	CompareTimeout = 5 * time.Minute
	// UsageTimeout bounds the reading of all keys; what was read until then is told.
	UsageTimeout = 5 * time.Minute
	// CareTimeout is what a defragmentation of all members may take.
	CareTimeout = time.Hour
	// DowngradeTimeout bounds etcd's change of its storage to a lower version.
	DowngradeTimeout = 10 * time.Minute
	// GateTimeout is how long the cluster may take to be well after a member's turn.
	GateTimeout = 10 * time.Minute
	// LogTimeout bounds the renewal of the members' logs before 3.7: some seconds on hosts with room to
	// spare. With the gate it is within MayTimeout.
	LogTimeout = 10 * time.Minute
	// MayTimeout is what the look may take before the first member goes to another version.
	MayTimeout = GateTimeout + LogTimeout

	// DefaultThreshold is which part of its file a member must be able to free to be
	// defragmented: 0 to 1.
	DefaultThreshold = 0.3
	// DefaultKeep is how many revisions a compaction leaves: more than any watch that is alive
	// is behind by.
	DefaultKeep = 10000
)

// LookSpec asks for what the members say.
type LookSpec struct {
	// Endpoints are the members' client URLs that are known; those that the members tell of
	// themselves are asked too.
	Endpoints []string `json:"endpoints"`
	// Hashes compares the members' data, Usage reads what fills it.
	Hashes bool `json:"hashes,omitempty"`
	Usage  bool `json:"usage,omitempty"`
}

// LookData is what was seen from one host.
type LookData struct {
	// From is the host's name.
	From string      `json:"from"`
	Etcd etcd.Report `json:"etcd"`
	// Revision is the newest that was acknowledged; 0 without a quorum.
	Revision int64        `json:"revision,omitempty"`
	Hashes   *etcd.Hashes `json:"hashes,omitempty"`
	Usage    []etcd.Usage `json:"usage,omitempty"`
	// UsageCut says that not all keys were read in time.
	UsageCut bool `json:"usageCut,omitempty"`
	// Settings are those of the member on this host, of its file; nil when it has none there.
	Settings *etcdmember.Settings `json:"settings,omitempty"`
	// Backup is the newest that is whole on this host; nil for none.
	Backup *Backup `json:"backup,omitempty"`
}

// Backup is one on a host's disk.
type Backup struct {
	Name     string    `json:"name"`
	Host     string    `json:"host,omitempty"`
	Created  time.Time `json:"created"`
	Revision int64     `json:"revision,omitempty"`
	Bytes    int64     `json:"bytes,omitempty"`
}

// DefragSpec defragments the members one by one.
type DefragSpec struct {
	Endpoints []string `json:"endpoints"`
	// Threshold is which part of its file a member must be able to free: 0 to 1.
	Threshold float64 `json:"threshold"`
}

// DefragData is what was done.
type DefragData struct {
	Members []etcd.Defragged `json:"members"`
}

// CompactSpec discards old revisions.
type CompactSpec struct {
	Endpoints []string `json:"endpoints"`
	// Revision is up to which; 0: so that Keep of the newest are left.
	Revision int64 `json:"revision,omitempty"`
	Keep     int64 `json:"keep,omitempty"`
}

// CompactData is what was done.
type CompactData struct {
	// Revision is up to which it was compacted, Newest the newest of all.
	Revision int64 `json:"revision"`
	Newest   int64 `json:"newest"`
}

// FreeSpec ends the alarm NOSPACE.
type FreeSpec struct {
	Endpoints []string `json:"endpoints"`
}

// FreeData is what was done.
type FreeData struct {
	Compacted CompactData      `json:"compacted"`
	Members   []etcd.Defragged `json:"members"`
	Disarmed  int              `json:"disarmed"`
}

// GateSpec waits until all is well.
type GateSpec struct {
	Endpoints []string `json:"endpoints"`
	// APIServers are address:port of those whose /readyz has to be 200.
	APIServers []string `json:"apiServers,omitempty"`
	// Target, when set, judges whether etcd may go to that version before the first member does.
	// Downgrade says that it is a lower one.
	Target    string `json:"target,omitempty"`
	Downgrade bool   `json:"downgrade,omitempty"`
	// SnapshotCount is the members' --snapshot-count as the Cluster document has it, for such as do not tell
	// when they write a snapshot of their log. Zero: etcd's default.
	SnapshotCount uint64 `json:"snapshotCount,omitempty"`
	// MayBeFull: the alarm NOSPACE is no reason to wait, since what is done may be what ends it.
	MayBeFull bool `json:"mayBeFull,omitempty"`
	// Settled, when set, is the version at which all members have to be, with what they store.
	Settled string `json:"settled,omitempty"`
}

// GateData is what was seen at last.
type GateData struct {
	Revision int64             `json:"revision"`
	Leader   string            `json:"leader,omitempty"`
	Versions map[string]string `json:"versions"`
}

// DowngradeSpec has etcd store and speak as a lower minor version does, or takes that back.
type DowngradeSpec struct {
	Endpoints []string `json:"endpoints"`
	// Version is the one that members will be of: v3.6.16.
	Version string `json:"version,omitempty"`
	// Cancel ends a downgrade instead.
	Cancel bool `json:"cancel,omitempty"`
}

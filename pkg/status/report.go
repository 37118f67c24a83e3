package status

import (
	"time"

	backups "github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
)

// Health is the verdict on a whole cluster.
type Health string

// The verdicts. Broken: the API, or what it rests on, does not serve. Degraded:
// it serves, and something is not as it should be.
const (
	Healthy  Health = "healthy"
	Degraded Health = "degraded"
	Broken   Health = "broken"
)

// Report is everything that was seen of a cluster.
type Report struct {
	Time    time.Time `json:"time"`
	Cluster string    `json:"cluster"`
	// Version is the one that kubeadm's configuration names.
	Version  string    `json:"version,omitempty"`
	Health   Health    `json:"health"`
	Problems []Problem `json:"problems"`
	// Unseen says what could not be looked at, and why.
	Unseen        []string       `json:"unseen,omitempty"`
	API           API            `json:"api"`
	LoadBalancer  *LoadBalancer  `json:"loadBalancer,omitempty"`
	ControlPlanes []ControlPlane `json:"controlPlanes"`
	Etcd          []Member       `json:"etcd"`
	Nodes         []Node         `json:"nodes"`
	Certificates  []Certificate  `json:"certificates"`
	DNS           *DNS           `json:"dns,omitempty"`
	Images        Images         `json:"images"`
	Operations    []Operation    `json:"operations"`
	LastBackup    *Backup        `json:"lastBackup,omitempty"`
	// Renewal is the scheduled renewal of certificates; nil where there is none.
	Renewal *schedule.State `json:"certificateRenewal,omitempty"`
	// BackupSchedule is the scheduled backup; nil where there is none.
	BackupSchedule *backups.State `json:"backupSchedule,omitempty"`
	// Inspected says that the nodes were looked at from inside as well.
	Inspected bool `json:"inspected"`
}

// Problem is one thing that is not as it should be.
type Problem struct {
	Severity Health `json:"severity"`
	// Subject is what it is about: api, etcd, a node's name.
	Subject string `json:"subject"`
	Message string `json:"message"`
	// Next says what to do, when that can be said.
	Next string `json:"next,omitempty"`
}

// API is the stable endpoint.
type API struct {
	Endpoint  string `json:"endpoint"`
	VirtualIP string `json:"virtualIP"`
	// Others says that kubectl-ha does not keep the endpoint.
	Others bool `json:"others,omitempty"`
	// Holder is the control plane that answers there; Could are the others that could.
	Holder string   `json:"holder,omitempty"`
	Could  []string `json:"could,omitempty"`
	// Since is when the holder got the address; known to Inspect only.
	Since *time.Time `json:"since,omitempty"`
	// Asked is the address of the API by which all was read.
	Asked string `json:"asked"`
	// Reads says that the API can read what is stored.
	Reads bool   `json:"reads"`
	Error string `json:"error,omitempty"`
	// Unreached says that the endpoint itself is not reached from here.
	Unreached string `json:"unreached,omitempty"`
	// UnknownName says that this is so since this machine does not know the endpoint's name, which
	// the hosts may.
	UnknownName bool `json:"unknownName,omitempty"`
}

// LoadBalancer is what listens at the load balancer's port.
type LoadBalancer struct {
	Type     string    `json:"type"`
	Address  string    `json:"address"`
	Backends []Backend `json:"backends"`
	Error    string    `json:"error,omitempty"`
}

// Backend is the load balancer on one control plane.
type Backend struct {
	Node string `json:"node"`
	Up   bool   `json:"up"`
	What string `json:"what,omitempty"`
}

// ControlPlane is one host's part of the control plane.
type ControlPlane struct {
	Node              string    `json:"node"`
	Address           string    `json:"address"`
	APIServer         Component `json:"apiserver"`
	ControllerManager Component `json:"controllerManager"`
	Scheduler         Component `json:"scheduler"`
}

// Component is what one component said of itself.
type Component struct {
	// Healthy says that it answered so.
	Healthy bool `json:"healthy"`
	// Leader says that it has the lease.
	Leader  bool   `json:"leader,omitempty"`
	Version string `json:"version,omitempty"`
	// Milliseconds is what its answer took.
	Milliseconds int64 `json:"milliseconds,omitempty"`
	// Error says why it is not healthy, or why that is not known; Unseen tells these apart.
	Error  string `json:"error,omitempty"`
	Unseen bool   `json:"unseen,omitempty"`
}

// Member is an etcd member.
type Member struct {
	Node    string `json:"node"`
	Address string `json:"address"`
	// Answers says that it showed its certificate at its own port.
	Answers bool `json:"answers"`
	// Measured says that the numbers below were had.
	Measured bool   `json:"measured"`
	Leader   bool   `json:"leader,omitempty"`
	Learner  bool   `json:"learner,omitempty"`
	Leading  bool   `json:"hasLeader,omitempty"`
	Version  string `json:"version,omitempty"`
	// DBBytes is the file's size; FreeBytes what a defragmentation would free of it.
	DBBytes    int64 `json:"dbBytes,omitempty"`
	FreeBytes  int64 `json:"freeBytes,omitempty"`
	QuotaBytes int64 `json:"quotaBytes,omitempty"`
	// Committed is raft's index as this member knows it; Lag is how far it is behind
	// the furthest, in what it has applied.
	Committed uint64 `json:"committed,omitempty"`
	Applied   uint64 `json:"applied,omitempty"`
	Lag       uint64 `json:"lag"`
	// FsyncMillis is the 99th percentile of its log's fsync, since the last look in
	// a series, else since it started. Its buckets double, so it is an upper bound.
	FsyncMillis  float64 `json:"fsyncP99Milliseconds,omitempty"`
	CommitMillis float64 `json:"backendCommitP99Milliseconds,omitempty"`
	Elections    int64   `json:"leaderChanges,omitempty"`
	// Unwell is its own reason not to be healthy: an alarm, no leader.
	Unwell string `json:"unwell,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Node is a node of the cluster.
type Node struct {
	Name         string   `json:"name"`
	ControlPlane bool     `json:"controlPlane"`
	Version      string   `json:"version"`
	Address      string   `json:"address,omitempty"`
	OS           string   `json:"os,omitempty"`
	Runtime      string   `json:"runtime,omitempty"`
	NotReady     string   `json:"notReady,omitempty"`
	Cordoned     bool     `json:"cordoned,omitempty"`
	Pressure     []string `json:"pressure,omitempty"`
}

// Certificate is one that ends some day.
type Certificate struct {
	// Node is where it is; empty: on this workstation.
	Node string `json:"node,omitempty"`
	// What it is for, or its file.
	What     string    `json:"what"`
	NotAfter time.Time `json:"notAfter"`
	DaysLeft int       `json:"daysLeft"`
	// Due: less than half of its life is left.
	Due bool `json:"due,omitempty"`
	// RenewsItself says that it is a kubelet's, which renews its own.
	RenewsItself bool `json:"renewsItself,omitempty"`
	// Authority says that it is a CA.
	Authority bool `json:"authority,omitempty"`
}

// DNS is CoreDNS.
type DNS struct {
	Wanted int `json:"wanted"`
	Ready  int `json:"ready"`
	// Nodes counts its ready pods by node.
	Nodes map[string]int `json:"nodes"`
}

// Images tells of the images of the control planes' version.
type Images struct {
	// Missing are those that nodes do not report, by node.
	Missing map[string][]string `json:"missing,omitempty"`
	// Kinds is how many different images there are on all nodes.
	Kinds int `json:"kinds"`
}

// Operation is one that is not finished, or the last that is.
type Operation struct {
	Name     string    `json:"name"`
	Type     string    `json:"type"`
	Phase    string    `json:"phase"`
	Progress string    `json:"progress,omitempty"`
	Message  string    `json:"message,omitempty"`
	Since    time.Time `json:"since"`
	Finished bool      `json:"finished"`
}

// Backup is the newest.
type Backup struct {
	Name string    `json:"name"`
	Node string    `json:"node"`
	Made time.Time `json:"made"`
}

// Package etcdmember runs one etcd member under systemd, with TLS for peers
// and clients.
package etcdmember

// PKIDir is where a member's certificates and keys are (0600). The CA's key is
// on no member.
const PKIDir = "/etc/etcd/pki"

// Spec is one member as it is wanted.
type Spec struct {
	// Name and Address of this member.
	Name    string `json:"name"`
	Address string `json:"address"`
	// Token is the initial cluster token: one per cluster for ever.
	Token string `json:"token"`
	// Members maps all initial members' names to addresses.
	Members map[string]string `json:"members"`
	// New is true when the whole etcd cluster is new: no host has data, or only
	// some have since an earlier bootstrap was interrupted before any control plane
	// wrote into etcd (no host has a cluster CA). When it is false and this host has
	// no data, that is an error: a lost member is replaced by an Operation, never
	// started empty.
	New bool `json:"new"`
	// Join is true when this host becomes a further member of a cluster that runs:
	// as a learner first, which votes once it has all data. Members then are those
	// to ask, and this one.
	Join    bool              `json:"join,omitempty"`
	DataDir string            `json:"dataDir"`
	Args    map[string]string `json:"args,omitempty"`
	// PEM. Server and Peer certificates name this member only.
	CA         []byte `json:"ca"`
	ServerCert []byte `json:"serverCert"`
	ServerKey  []byte `json:"serverKey"`
	PeerCert   []byte `json:"peerCert"`
	PeerKey    []byte `json:"peerKey"`
}

// HealthSpec asks a host to look at the etcd cluster through its TLS ports,
// and to wait until every endpoint is a healthy voting member with one leader.
type HealthSpec struct {
	// Quorum waits only until enough of the members agree on a leader.
	Quorum    bool     `json:"quorum,omitempty"`
	Endpoints []string `json:"endpoints"`
	CA        []byte   `json:"ca"`
	Cert      []byte   `json:"cert"`
	Key       []byte   `json:"key"`
}

// HealthData is what was seen at the end of the wait.
type HealthData struct {
	ClusterID uint64            `json:"clusterID"`
	Leader    string            `json:"leader"`
	Versions  map[string]string `json:"versions"`
}

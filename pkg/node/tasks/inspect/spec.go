package inspect

import "time"

// Spec says what to look at.
type Spec struct {
	VirtualIP string `json:"virtualIP,omitempty"`
	// EtcdEndpoints are asked with the apiserver's client certificate, where it is.
	EtcdEndpoints []string `json:"etcdEndpoints,omitempty"`
	// LogLines is how many lines of each unit's log are returned. Default none.
	LogLines int `json:"logLines,omitempty"`
}

// Facts are what was seen.
type Facts struct {
	Hostname string    `json:"hostname"`
	Time     time.Time `json:"time"`
	Kernel   string    `json:"kernel,omitempty"`
	// Certificates are those in files, each with its file.
	Certificates []Certificate `json:"certificates,omitempty"`
	// Kubeconfigs maps a file to the server it points to.
	Kubeconfigs map[string]string `json:"kubeconfigs,omitempty"`
	VIP         *VIP              `json:"vip,omitempty"`
	// Units maps names of systemd units that matter to their states: active.
	Units map[string]string `json:"units,omitempty"`
	// Pinned are references in containerd that no garbage collection removes; nil
	// when that can't be told.
	Pinned []string `json:"pinned,omitempty"`
	// EtcdConfig are settings of the member here that matter; nil when there is none.
	EtcdConfig *EtcdConfig `json:"etcdConfig,omitempty"`
	// Etcd is what the members say; EtcdError why they were not asked.
	Etcd      []EtcdMember `json:"etcd,omitempty"`
	EtcdError string       `json:"etcdError,omitempty"`
	// EtcdList are the members as etcd itself lists them, those that were never started
	// included; empty when it could not be asked.
	EtcdList []EtcdEntry `json:"etcdList,omitempty"`
	Backups  []Backup    `json:"backups,omitempty"`
	// Armed are the parts of this host of which an upgrade has begun and not ended: a boot
	// takes them back. Each is such as: kubelet from v1.35.4 to v1.36.3.
	Armed []string `json:"armed,omitempty"`
	// Timeouts are those of haproxy for idle connections, as its file has them: 4h, by
	// client, server and tunnel; and by nginx that of its streams.
	Timeouts map[string]string `json:"timeouts,omitempty"`
	// Resets tells whether haproxy ends the connections to a server that is down; nil
	// where there is no haproxy with servers.
	Resets *bool `json:"resets,omitempty"`
	// Versions of programs by their names, as they tell them.
	Versions map[string]string `json:"versions,omitempty"`
	// Logs are the last lines of each unit's log.
	Logs map[string]string `json:"logs,omitempty"`
	// Missed says what could not be looked at.
	Missed []string `json:"missed,omitempty"`
}

// Certificate is one in a file.
type Certificate struct {
	File     string    `json:"file"`
	Subject  string    `json:"subject"`
	NotAfter time.Time `json:"notAfter"`
	CA       bool      `json:"ca,omitempty"`
}

// VIP is this host's part in holding the virtual IP.
type VIP struct {
	// Here: an interface has it. Since is when that changed last.
	Here  bool       `json:"here"`
	Since *time.Time `json:"since,omitempty"`
	// APIServer is the state that the watcher tells keepalived: healthy, sick, dead.
	APIServer string `json:"apiserver,omitempty"`
	// Draining: the switch is set by which an Operation moves the address away.
	Draining bool `json:"draining,omitempty"`
	// Unicast: keepalived speaks to a list of peers, and to nobody else.
	Unicast bool `json:"unicast"`
	Peers   int  `json:"peers,omitempty"`
	// Checks: keepalived runs a check of its own, as it does where another tool set it up.
	Checks bool `json:"checks,omitempty"`
}

// EtcdConfig are settings of a member.
type EtcdConfig struct {
	// StrictReconfig is false only where it was turned off.
	StrictReconfig bool  `json:"strictReconfig"`
	QuotaBytes     int64 `json:"quotaBytes,omitempty"`
}

// EtcdMember is what a member says of itself.
type EtcdMember struct {
	Endpoint string `json:"endpoint"`
	Version  string `json:"version,omitempty"`
	Leader   bool   `json:"leader,omitempty"`
	Learner  bool   `json:"learner,omitempty"`
	DBBytes  int64  `json:"dbBytes,omitempty"`
	Raft     uint64 `json:"raftIndex,omitempty"`
	// Alarms are NOSPACE or CORRUPT, raised by this member.
	Alarms []string `json:"alarms,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// EtcdEntry is a member in etcd's own list.
type EtcdEntry struct {
	// ID is hexadecimal, as etcdctl prints it.
	ID string `json:"id"`
	// Name is empty for one that was never started.
	Name     string   `json:"name,omitempty"`
	PeerURLs []string `json:"peerURLs,omitempty"`
	Learner  bool     `json:"learner,omitempty"`
	Started  bool     `json:"started,omitempty"`
}

// Backup is one that this host keeps.
type Backup struct {
	Name string    `json:"name"`
	Made time.Time `json:"made"`
}

// Package follow lets a host follow a change of who belongs to the cluster: an
// apiserver learns of other etcd members (Endpoints), and a host that leaves gives
// up what others would stumble over (Retire).
package follow

// Spec is what a host that stays is told.
type Spec struct {
	// EtcdEndpoints are the members' client URLs, for the apiserver; none when the
	// host has no apiserver.
	EtcdEndpoints []string `json:"etcdEndpoints,omitempty"`
	// EtcdMembers maps the members' names to addresses, for the host's own member.
	EtcdMembers map[string]string `json:"etcdMembers,omitempty"`
	// LocalEndpoint is https://address:port of the apiserver on this host.
	LocalEndpoint string `json:"localEndpoint,omitempty"`
	// Elsewhere moves the virtual IP away while the apiserver restarts.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// Data is what was done.
type Data struct {
	// Restarted tells whether the apiserver was restarted.
	Restarted bool `json:"restarted,omitempty"`
}

// RetireSpec is what a host that leaves is told.
type RetireSpec struct {
	// KubeletAfter is for how long, in seconds, the kubelet goes on: the task's own
	// pod and the static pods end with it. Zero: 45.
	KubeletAfter int `json:"kubeletAfter,omitempty"`
	// EtcdData is the directory of etcd's data. Empty: /var/lib/etcd.
	EtcdData string `json:"etcdData,omitempty"`
}

// RetireData tells what is still on the host.
type RetireData struct {
	// Left are things that only an uninstall takes away.
	Left []string `json:"left,omitempty"`
}

// Package nodes adds hosts to a cluster that runs, takes them out, and replaces one by another.
package nodes

import "github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"

// Enrolment is all that a host needs that enrols itself: what the workstation would
// otherwise send it step by step. It holds secrets.
type Enrolment struct {
	Host    string `json:"host"`
	Cluster string `json:"cluster"`
	// Token and CAHash are what its kubelet enrols with.
	Token  string `json:"token"`
	CAHash string `json:"caHash"`
	// AgentImage is the reference of the agent's own image.
	AgentImage string `json:"agentImage"`
	// Member is set for a new etcd member.
	Member *bootstrap.MemberFiles `json:"member,omitempty"`
}

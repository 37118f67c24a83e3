// Package release takes kubectl-ha off a host of a cluster that others have made, which runs on:
// the agent, its image, its units and its memory of what was done. What the cluster itself runs
// on stays as it is now, also where kubectl-ha has replaced it: an upgraded kubelet is not put back.
package release

import "time"

// Timeout bounds the task.
const Timeout = 5 * time.Minute

// Spec has no settings.
type Spec struct{}

// Data is what went, or in a dry run would.
type Data struct {
	// Bare is true when there was nothing of kubectl-ha.
	Bare bool `json:"bare,omitempty"`
	// Images is how many of the agent's images went.
	Images int `json:"images,omitempty"`
	// Backups are those of etcd that were kept on the host and go with the rest.
	Backups int `json:"backups,omitempty"`
	// Kept is what kubectl-ha has replaced or made that the cluster runs on; it stays.
	Kept []string `json:"kept,omitempty"`
}

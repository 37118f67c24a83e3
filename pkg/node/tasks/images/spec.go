// Package images is a node's part in the Operations on images: Run takes the
// images that its node lacks from the swarm of all nodes into containerd, and
// gives pieces to the others until all have theirs; Prune removes images that
// no container uses.
package images

import (
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// StagingDir is where pieces are kept until their images are imported.
	StagingDir = host.StateDir + "/swarm"
	// FeedDir has what `agent feed` needs, on the host, while the task runs.
	FeedDir = "/run/kubectl-ha-images"
	// FeedSocket takes the workstation's feed.
	FeedSocket = FeedDir + "/feed.sock"
	// AgentLink is a link to the running agent: a process that is executed in the
	// task's container finds itself on the host, where the image's file is not.
	AgentLink = FeedDir + "/agent"

	// DefaultPatience is how long a node that nobody brings what it lacks waits
	// for somebody who does.
	DefaultPatience = 10 * time.Minute
)

// Spec says what a node is to get, and from whom.
type Spec struct {
	// Parcel is the digest and size of what is distributed.
	Parcel bundle.Blob `json:"parcel"`
	// Roles of the node; with AllRoles it gets all images.
	Roles    []v1alpha1.Role `json:"roles,omitempty"`
	AllRoles bool            `json:"allRoles,omitempty"`
	// Self is host:port, where this node listens and the others reach it. Peers
	// are all of them.
	Self  string   `json:"self"`
	Peers []string `json:"peers"`
	// Names are the peers' nodes, by host:port.
	Names map[string]string `json:"names,omitempty"`
	// Credentials are the same for all nodes of one Operation. They are a secret.
	Credentials bundle.Peers `json:"credentials"`
	// MaxRate is what this node sends to others at most, in bytes per second.
	// Zero: no bound.
	MaxRate int64 `json:"maxRate,omitempty"`
	// After are peers that are to be done before this node puts images into its
	// container runtime: fetching and giving to others goes on meanwhile. They are
	// waited for no longer than five minutes.
	After []string `json:"after,omitempty"`
	// Patience is DefaultPatience when zero.
	Patience time.Duration `json:"patience,omitempty"`
}

// Data is what was done.
type Data struct {
	// Images is how many were for this node, Imported how many it lacked.
	Images   int `json:"images"`
	Imported int `json:"imported"`
	// Programs is how many programs were brought, for an upgrade.
	Programs int `json:"programs,omitempty"`
	// FromFeed, FromPeers and Sent are bytes that travelled.
	FromFeed  int64 `json:"fromFeed,omitempty"`
	FromPeers int64 `json:"fromPeers,omitempty"`
	Sent      int64 `json:"sent,omitempty"`
	// Gone are peers that were not waited for any longer.
	Gone []string `json:"gone,omitempty"`
}

// PruneSpec says what is to be removed.
type PruneSpec struct {
	// Refs are references of images.
	Refs []string `json:"refs"`
	// Used are those that were chosen as well and that pods need by now: they
	// stay, and are reported as kept.
	Used []string `json:"used,omitempty"`
}

// PruneData has one entry for each reference.
type PruneData struct {
	Removals []ctrd.Removal `json:"removals"`
}

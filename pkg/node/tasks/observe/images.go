package observe

import (
	"context"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
)

// imagesWithin bounds the question to containerd.
const imagesWithin = 2 * time.Second

// images lists what containerd has, when it is there.
func (o *observer) images(ctx context.Context) {
	if there, err := o.h.Exists(prepare.Socket); err != nil || !there {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, imagesWithin)
	defer cancel()
	list, err := ctrd.ListImages(ctx, o.h.Path(prepare.Socket))
	if err != nil {
		o.warn("the images in containerd can't be listed: %v", err)
		return
	}
	found := make(map[string]string, len(list))
	for ref, digest := range list {
		found[ref] = string(digest)
	}
	o.facts.Images = found
}

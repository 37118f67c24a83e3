package ctrd

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// The label by which CRI knows the images that are its own; the same as it sets
// itself when it pulls. internal/cri/labels in containerd.
const (
	labelManaged      = "io.cri-containerd.image"
	labelManagedValue = "managed"
)

// references are the names that CRI gives an image that it pulls: its config's
// digest, which CRI knows it by, REPOSITORY@DIGEST of what the reference stands
// for, and the reference itself, last, since whoever sees that one uses it.
// internal/cri/server/images/image_pull.go in containerd.
func references(ref string, target, config digest.Digest) ([]string, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return nil, fmt.Errorf("image reference %.200q: %w", ref, err)
	}
	out := []string{config.String()}
	if byDigest := named.Name() + "@" + target.String(); byDigest != ref {
		out = append(out, byDigest)
	}
	return append(out, ref), nil
}

// named is an image with all its references, the same target under each.
type named []images.Image

// named makes the references that an image is to have; labels are for the
// reference itself, the others only get CRI's own, the pin among them.
func (im *importer) named(want images.Image, config digest.Digest) (named, error) {
	names, err := references(want.Name, want.Target.Digest, config)
	if err != nil {
		return nil, err
	}
	var out named
	for _, name := range names {
		one := images.Image{Name: name, Target: want.Target, Labels: map[string]string{labelManaged: labelManagedValue}}
		if name == want.Name {
			for k, v := range want.Labels {
				one.Labels[k] = v
			}
		} else if pinned, ok := want.Labels[labelPinned]; ok {
			one.Labels[labelPinned] = pinned
		}
		out = append(out, one)
	}
	return out, nil
}

// there tells whether every reference is there, with target and labels.
func (im *importer) there(ctx context.Context, all named) (bool, error) {
	for _, want := range slices.Backward(all) {
		have, err := im.client.ImageService().Get(ctx, want.Name)
		if errdefs.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if have.Target.Digest != want.Target.Digest {
			return false, nil
		}
		for k, v := range want.Labels {
			if have.Labels[k] != v {
				return false, nil
			}
		}
	}
	return true, nil
}

// name creates or updates every reference. CRI itself may be doing the same at
// this moment, since it hears of each new name.
func (im *importer) name(ctx context.Context, all named) error {
	service := im.client.ImageService()
	for _, want := range all {
		_, err := service.Create(ctx, want)
		if errdefs.IsAlreadyExists(err) {
			fields := []string{"target"}
			for k := range want.Labels {
				fields = append(fields, "labels."+k)
			}
			_, err = service.Update(ctx, want, fields...)
		}
		if err != nil {
			return fmt.Errorf("name it %s: %w", want.Name, err)
		}
	}
	return nil
}

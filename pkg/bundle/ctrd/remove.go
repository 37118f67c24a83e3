package ctrd

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
)

// Removal is what became of one reference that was to be removed.
type Removal struct {
	Ref string `json:"ref"`
	// Removed tells that it was there and is gone.
	Removed bool `json:"removed,omitempty"`
	// Kept says why it was left; empty when it was removed or not there.
	Kept string `json:"kept,omitempty"`
}

// RemoveImages removes images by their references, unless a container uses them
// or they are pinned, and with them the references by digest that CRI made, as
// far as no other reference needs them. What is not there is no error. The
// containers are looked at again before each reference: one may take minutes, and
// meanwhile a pod may have begun. Of the references in unpinned a pin of their own
// does not count: sandbox images of versions that are gone have one.
func RemoveImages(ctx context.Context, socket string, refs, unpinned []string) (_ []Removal, err error) {
	ctx, client, err := connect(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return removeImages(ctx, client, slices.Values(refs), unpinned)
}

func removeImages(ctx context.Context, client *containerd.Client, refs iter.Seq[string], unpinned []string) (out []Removal, err error) {
	for ref := range refs {
		one, err := removeImage(ctx, client, ref, unpinned)
		if err != nil {
			return out, fmt.Errorf("remove image %s: %w", ref, err)
		}
		out = append(out, one)
	}
	return out, nil
}

// removeImage removes one reference, unless something speaks against it.
func removeImage(ctx context.Context, client *containerd.Client, ref string, unpinned []string) (Removal, error) {
	one := Removal{Ref: ref}
	all, err := client.ImageService().List(ctx)
	if err != nil {
		return one, fmt.Errorf("list the images in containerd: %w", err)
	}
	i := slices.IndexFunc(all, func(i images.Image) bool { return i.Name == ref })
	if i < 0 {
		return one, nil
	}
	used, err := lookAtContainers(ctx, client)
	if err != nil {
		return one, err
	}
	own := companions(all[i], all)
	given := givenUp(all[i].Target.Digest, all, unpinned)
	for _, other := range all {
		if other.Target.Digest == all[i].Target.Digest && other.Labels[labelPinned] == labelPinnedValue && !given[other.Name] {
			one.Kept = "it is pinned"
			return one, nil
		}
	}
	if one.Kept, err = used.keeps(ctx, client, all[i], all); err != nil || one.Kept != "" {
		return one, err
	}
	err = remove(ctx, client, own)
	one.Removed = err == nil
	return one, err
}

// companions are an image and the references that are of no use without it: by
// the digest in the same repository, and the bare digest with the last name.
func companions(image images.Image, all []images.Image) []string {
	repository := repositoryOf(image.Name)
	out := []string{}
	othersInRepository, others := false, false
	var byDigest, bare []string
	for _, i := range all {
		switch {
		case i.Target.Digest != image.Target.Digest || i.Name == image.Name:
		case digest.Digest(i.Name).Validate() == nil:
			bare = append(bare, i.Name)
		case repositoryOf(i.Name) == repository && strings.Contains(i.Name, "@"):
			byDigest = append(byDigest, i.Name)
		default:
			others = true
			othersInRepository = othersInRepository || repositoryOf(i.Name) == repository
		}
	}
	if !othersInRepository {
		out = append(out, byDigest...)
	}
	if !others {
		out = append(out, bare...)
	}
	return append(out, image.Name)
}

// givenUp are the names of one content whose pin does not count, since they go with the
// references in unpinned: these, and those that are of no use without them. One image may
// have been brought under several names.
func givenUp(target digest.Digest, all []images.Image, unpinned []string) map[string]bool {
	var same, kept []images.Image
	for _, i := range all {
		if i.Target.Digest == target {
			same = append(same, i)
			if !slices.Contains(unpinned, i.Name) {
				kept = append(kept, i)
			}
		}
	}
	out := map[string]bool{}
	for _, i := range same {
		if slices.Contains(unpinned, i.Name) {
			for _, name := range companions(i, kept) {
				out[name] = true
			}
		}
	}
	bare := func(i images.Image) bool { return digest.Digest(i.Name).Validate() == nil }
	if !slices.ContainsFunc(same, func(i images.Image) bool { return !bare(i) && !out[i.Name] }) {
		for _, i := range same {
			out[i.Name] = true
		}
	}
	return out
}

func repositoryOf(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return named.Name()
}

// remove removes references; with the last one the collector runs.
func remove(ctx context.Context, client *containerd.Client, names []string) error {
	for n, name := range names {
		var opts []images.DeleteOpt
		if n == len(names)-1 {
			opts = append(opts, images.SynchronousDelete())
		}
		if err := client.ImageService().Delete(ctx, name, opts...); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// usage is what containers need, running or not.
type usage struct {
	// names are of the images that containers were made of.
	names map[string]string
	// chains are the layers that containers' own layers lie on.
	chains map[string]string
}

// lookAtContainers asks containerd, not the cluster: a container is there before
// and after its pod is.
func lookAtContainers(ctx context.Context, client *containerd.Client) (usage, error) {
	u := usage{names: map[string]string{}, chains: map[string]string{}}
	containers, err := client.ContainerService().List(ctx)
	if err != nil {
		return u, fmt.Errorf("list the containers in containerd: %w", err)
	}
	for _, c := range containers {
		who := containerName(c.ID, c.Labels)
		if c.Image != "" {
			u.names[c.Image] = who
		}
		if c.SnapshotKey == "" {
			continue
		}
		info, err := client.SnapshotService(c.Snapshotter).Stat(ctx, c.SnapshotKey)
		if errdefs.IsNotFound(err) {
			continue // It is just being removed.
		}
		if err != nil {
			return u, fmt.Errorf("look at the layers of container %s: %w", c.ID, err)
		}
		u.chains[info.Parent] = who
	}
	return u, nil
}

// containerName names a container by the kubelet's labels, if it has them.
func containerName(id string, labels map[string]string) string {
	pod := labels["io.kubernetes.pod.name"]
	if pod == "" {
		return "container " + id
	}
	return "pod " + labels["io.kubernetes.pod.namespace"] + "/" + pod
}

// keeps says which container needs an image, empty when none does.
func (u usage) keeps(ctx context.Context, client *containerd.Client, image images.Image, all []images.Image) (string, error) {
	for _, i := range all {
		if i.Target.Digest != image.Target.Digest {
			continue
		}
		if who := u.names[i.Name]; who != "" {
			return "used by " + who, nil
		}
	}
	diffs, err := containerd.NewImage(client, image).RootFS(ctx)
	if errdefs.IsNotFound(err) {
		return "", nil // It is not whole, so nothing can be made of it.
	}
	if err != nil {
		return "", err
	}
	if who := u.chains[identity.ChainID(diffs).String()]; len(diffs) > 0 && who != "" {
		return "used by " + who, nil
	}
	return "", nil
}

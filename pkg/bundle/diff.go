package bundle

import (
	"cmp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// The kinds of Item.
const (
	KindImage   = "image"
	KindProgram = "program"
)

// Item is one thing in a bundle, for people and lists: what it is, its digest
// and size, where it is from and for whom.
type Item struct {
	// Kind is KindImage or KindProgram.
	Kind string `json:"kind"`
	// Name is an image's repository, or the path where a program is installed.
	Name string `json:"name"`
	// Version is an image's tag or its digest, or a program's version.
	Version string `json:"version"`
	// Arch is in Go's terms.
	Arch string `json:"arch"`
	// Digest is that of an image's manifest, or of a program itself.
	Digest digest.Digest `json:"digest"`
	// Size is how many bytes it takes in the bundle.
	Size int64 `json:"size"`
	// Source is where it came from; see Image.Source and Binary.Source.
	Source string `json:"source"`
	// For lists the roles that need it.
	For []v1alpha1.Role `json:"for"`

	blobs []Blob
}

// Items lists what is in it: the images, then the programs, in their order.
func (c Contents) Items() []Item {
	var out []Item
	for _, i := range c.Images {
		item := Item{Kind: KindImage, Arch: c.archOf(i.Arch), Digest: i.Manifest.Digest, Size: SizeOf(i.Blobs),
			Source: cmp.Or(i.Source, "docker://"+i.Ref), For: i.For, blobs: i.Blobs}
		item.Name, item.Version = splitRef(i.Ref)
		out = append(out, item)
	}
	for _, b := range c.Binaries {
		out = append(out, Item{Kind: KindProgram, Name: b.Path, Version: b.Version, Arch: c.archOf(b.Arch),
			Digest: digest.NewDigestFromEncoded(digest.SHA256, strings.ToLower(b.SHA256)), Size: b.Blob.Size,
			Source: b.Source, For: b.For, blobs: []Blob{b.Blob}})
	}
	return out
}

// splitRef takes a full reference apart: the repository, and its tag or digest.
func splitRef(ref string) (name, version string) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref, ""
	}
	switch r := named.(type) {
	case reference.Digested:
		return named.Name(), r.Digest().String()
	case reference.Tagged:
		return named.Name(), r.Tag()
	}
	return named.Name(), ""
}

// Difference is what changes from one bundle to another.
type Difference struct {
	Added   []Moved  `json:"added"`
	Removed []Item   `json:"removed"`
	Changed []Change `json:"changed"`
	// Blobs and Bytes are what the second has and the first has not: what has to
	// move to where everything of the first is.
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

// Moved is an item that is new.
type Moved struct {
	Item
	// Bytes are those of it that the first bundle has not. What several items
	// share counts for each, and in Difference.Bytes once.
	Bytes int64 `json:"bytes"`
}

// Change is an item that both bundles have in different versions, or under the
// same version with different content.
type Change struct {
	From Item  `json:"from"`
	To   Moved `json:"to"`
}

// Diff compares two bundles. An item of the second that has another version in
// the first, and is there only once in each, has changed; all others are added
// or removed.
func Diff(from, to Contents) Difference {
	have := map[digest.Digest]bool{}
	for _, b := range from.Blobs() {
		have[b.Digest] = true
	}
	var out Difference
	for _, b := range to.Blobs() {
		if !have[b.Digest] {
			out.Blobs++
			out.Bytes += b.Size
		}
	}
	moved := func(i Item) Moved {
		return Moved{Item: i, Bytes: SizeOf(slices.DeleteFunc(slices.Clone(i.blobs), func(b Blob) bool { return have[b.Digest] }))}
	}
	olds, news := byName(from.Items()), byName(to.Items())
	for _, i := range to.Items() {
		old, ok := counterpart(i, olds[i.key()], len(news[i.key()]))
		switch {
		case !ok:
			out.Added = append(out.Added, moved(i))
		case old.Version != i.Version || old.Digest != i.Digest:
			out.Changed = append(out.Changed, Change{From: old, To: moved(i)})
		}
	}
	for _, i := range from.Items() {
		if _, ok := counterpart(i, news[i.key()], len(olds[i.key()])); !ok {
			out.Removed = append(out.Removed, i)
		}
	}
	return out
}

// key is what stays the same when an item changes.
func (i Item) key() [3]string { return [3]string{i.Kind, i.Name, i.Arch} }

func byName(items []Item) map[[3]string][]Item {
	out := map[[3]string][]Item{}
	for _, i := range items {
		out[i.key()] = append(out[i.key()], i)
	}
	return out
}

// counterpart finds an item in the other bundle: that of the same version, or
// the only one of its name when this one is that, too.
func counterpart(i Item, others []Item, own int) (Item, bool) {
	for _, o := range others {
		if o.Version == i.Version {
			return o, true
		}
	}
	if len(others) == 1 && own == 1 {
		return others[0], true
	}
	return Item{}, false
}

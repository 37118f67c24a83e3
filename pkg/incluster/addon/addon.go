package addon

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
)

// The bounds of an addon, in bytes: of all its files, and packed. A packed one
// goes into a Secret, which may have 1 MiB.
const (
	maxFiles  = 16 << 20
	maxPacked = 900 << 10
)

// Addon is a descriptor with the content of its files.
type Addon struct {
	Descriptor Descriptor `json:"descriptor"`
	// Files are the folder's manifests by their names.
	Files map[string][]byte `json:"files"`
	// Fetched is the content of Descriptor.Files by their SHA256.
	Fetched map[string][]byte `json:"fetched,omitempty"`
}

// Images are all images with their tags, in order.
func (a *Addon) Images() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(a.Descriptor.Images)) {
		out = append(out, name+":"+a.Descriptor.Images[name])
	}
	return out
}

// Missing are the upstream files whose content is not there yet.
func (a *Addon) Missing() []File {
	return slices.DeleteFunc(slices.Clone(a.Descriptor.Files), func(f File) bool { return a.Fetched[f.SHA256] != nil })
}

// Add takes the content of an upstream file, which must be what the descriptor says.
func (a *Addon) Add(content []byte) error {
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])
	if !slices.ContainsFunc(a.Descriptor.Files, func(f File) bool { return f.SHA256 == name }) {
		return fmt.Errorf("addon %s: a file with the SHA-256 %s is none of its files", a.Descriptor.Name, name)
	}
	if a.Fetched == nil {
		a.Fetched = map[string][]byte{}
	}
	a.Fetched[name] = content
	return nil
}

// Pack is the addon as one piece, the same bytes for the same addon, and its
// SHA-256.
func (a *Addon) Pack() (packed []byte, digest string, err error) {
	if missing := a.Missing(); len(missing) > 0 {
		return nil, "", fmt.Errorf("addon %s: %s was not fetched", a.Descriptor.Name, missing[0].URL)
	}
	document, err := json.Marshal(a)
	if err != nil {
		return nil, "", fmt.Errorf("pack the addon %s: %w", a.Descriptor.Name, err)
	}
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, err = zw.Write(document)
	if err = errors.Join(err, zw.Close()); err != nil {
		return nil, "", fmt.Errorf("pack the addon %s: %w", a.Descriptor.Name, err)
	}
	if b.Len() > maxPacked {
		return nil, "", fmt.Errorf("addon %s: packed it has %d bytes, and no more than %d can be handed to the cluster; take it apart", a.Descriptor.Name, b.Len(), maxPacked)
	}
	return b.Bytes(), Digest(b.Bytes()), nil
}

// Digest is the SHA-256 of a packed addon, as sha256:<hex>.
func Digest(packed []byte) string {
	sum := sha256.Sum256(packed)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Unpack is the reverse of Pack; what comes out is as valid as what is loaded.
func Unpack(packed []byte, digest string) (*Addon, error) {
	if got := Digest(packed); got != digest {
		return nil, fmt.Errorf("the packed addon has the digest %s instead of %s", got, digest)
	}
	zr, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack the addon: %w", err)
	}
	document, err := io.ReadAll(io.LimitReader(zr, 2*maxFiles))
	if err = errors.Join(err, zr.Close()); err != nil {
		return nil, fmt.Errorf("unpack the addon: %w", err)
	}
	a := &Addon{}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(a); err != nil {
		return nil, fmt.Errorf("unpack the addon: %w", err)
	}
	return a, a.Validate()
}

// chosen are the names of the files that are applied with these variants, in order.
func (a *Addon) chosen(variants []string) []string {
	left := map[string]bool{}
	for name, v := range a.Descriptor.Variants {
		if !slices.Contains(variants, name) {
			for _, m := range v.Manifests {
				left[m] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(a.Files)), func(f string) bool { return left[f] })
}

// manifest tells the files of a folder that are manifests.
func manifest(name string) bool {
	return name != DescriptorFile && (path.Ext(name) == ".yaml" || path.Ext(name) == ".yml" || path.Ext(name) == ".json")
}

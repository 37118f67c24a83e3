package bundle

import (
	"errors"
	"fmt"
	"slices"
)

// Missing are the blobs of the contents that are not here: those left out of a
// difference that was opened without its base. They are no damage; whoever has
// the other bundle, or got its images before, has them.
func (b *Bundle) Missing() []Blob {
	return slices.DeleteFunc(b.contents.Blobs(), b.Has)
}

// OpenWithBases opens a bundle that is only the difference to another, together
// with that other: what comes back is whole. A base may itself be a difference,
// and is then to be followed by its own. A bundle that is whole needs none. The
// caller closes it, and with it the bases.
func OpenWithBases(name string, bases ...string) (*Bundle, error) {
	b, err := Open(name)
	if err != nil {
		return nil, err
	}
	for _, path := range bases {
		base, err := Open(path)
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		b.adopt(base)
	}
	missing := b.Missing()
	if len(missing) > 0 && len(bases) > 0 {
		return nil, errors.Join(fmt.Errorf("bundle %s: %d of its blobs (%s) are in none of %q: it is the difference to the bundle %s",
			name, len(missing), formatBytes(SizeOf(missing)), bases, b.contents.Since.Bundle), b.Close())
	}
	if len(missing) == 0 {
		b.contents.Since = nil
	}
	return b, nil
}

// adopt takes from a base what is missing.
func (b *Bundle) adopt(base *Bundle) {
	b.closers = append(b.closers, base.closers...)
	for _, m := range b.Missing() {
		if base.Has(m) {
			e := base.blobs[m.Digest]
			e.base = base.file
			b.blobs[m.Digest] = e
		}
	}
}

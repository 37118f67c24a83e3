package swarm

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// stagedName matches the names of a staging directory's files, but for its lock.
var stagedName = regexp.MustCompile(`^(parcel-)?[0-9a-f]{64}(\.new)?$`)

// sweep removes what an earlier run staged of other parcels: nobody would come back
// for it but who pushes that again.
func (s *stage) sweep(parcel *Parcel, identity bundle.Blob) error {
	keep := map[string]bool{filepath.Base(s.parcelPath(identity)): true}
	for _, b := range parcel.Blobs {
		keep[b.Digest.Encoded()] = true
	}
	list, err := os.ReadDir(s.dir)
	for _, f := range list {
		if f.Type().IsRegular() && stagedName.MatchString(f.Name()) && !keep[f.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(s.dir, f.Name())))
		}
	}
	return err
}

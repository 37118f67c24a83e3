//go:build !linux

package images

import "errors"

// room: nodes are Linux machines.
func room(string) (disk uint64, total, free int64, err error) {
	return 0, 0, 0, errors.ErrUnsupported
}

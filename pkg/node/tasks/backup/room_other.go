//go:build !linux

package backup

import "errors"

// freeBytes is for hosts, and those run Linux.
func freeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }

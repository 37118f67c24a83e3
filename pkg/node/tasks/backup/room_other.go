//go:build !linux

package backup

import "errors"

// FreeBytes is for hosts, and those run Linux.
func FreeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }

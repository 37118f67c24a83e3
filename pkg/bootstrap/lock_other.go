//go:build !unix

package bootstrap

import "os"

// flock does nothing: there is no such lock here, and the hosts' own locks keep
// two runs apart.
func flock(*os.File) error { return nil }

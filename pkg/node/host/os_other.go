//go:build !linux

package host

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"time"
)

// Hosts are Linux machines. On other systems this package only compiles, for
// the plugin's own seat on the workstation.
var errNotLinux = errors.New("hosts are Linux machines: this system is none")

// FreeBytes is for hosts.
func FreeBytes(string) (int64, error) { return 0, errNotLinux }

func ownerOf(fs.FileInfo) (uid, gid int) { return -1, -1 }

func parseMounts([]byte) ([]Mount, error) { return nil, errNotLinux }

func lockWait(*os.File) error { return errNotLinux }

func unlock(*os.File) error { return errNotLinux }

func monotonicNow() (time.Duration, error) { return 0, errNotLinux }

func ownGroup(*exec.Cmd) {}

func killGroup(*exec.Cmd) {}

func removeAll(string) error { return errNotLinux }

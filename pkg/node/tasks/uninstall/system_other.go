//go:build !linux

package uninstall

import (
	"errors"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

var errLinux = errors.New("hosts run Linux")

func unmount(host.Mount) error { return errLinux }

func kill(int, bool) error { return errLinux }

func self() []int { return nil }

//go:build !linux

package node

import (
	"errors"
	"os"
)

var pipeSignals []os.Signal

func reexecOnHost([]byte, string) error {
	return errors.New("hosts are Linux machines: this system is none")
}

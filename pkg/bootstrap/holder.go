package bootstrap

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kubectl-ha/kubectl-ha/pkg/localfile"
)

// HolderID tells this machine's state directory of a cluster from all others, also from copies of it on
// machines of other names: 32 hexadecimal digits. It is made once. The caller has the directory's lock.
func HolderID(stateDir string) (string, error) {
	path := filepath.Join(stateDir, "holder-id")
	seed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		seed = []byte(rand.Text())
		err = localfile.Write(path, seed, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("identify this machine: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("identify this machine: %w", err)
	}
	sum := sha256.Sum256(append([]byte(host+"\x00"), seed...))
	return hex.EncodeToString(sum[:16]), nil
}

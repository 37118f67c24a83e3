package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// agentSource finds the program that is put on hosts: the running one when it
// is fit for them, else the one next to it that the plugin's archive holds for
// workstations of another kind.
type agentSource struct {
	// executable, goos and arch are of the running program.
	executable, goos, arch string

	mu   sync.Mutex
	sums map[string]string
}

func newAgentSource() (*agentSource, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the running program: %w", err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		// krew links the program from another directory than its files'.
		path = real
	}
	return &agentSource{executable: path, goos: runtime.GOOS, arch: runtime.GOARCH, sums: map[string]string{}}, nil
}

// Binary returns the agent for Linux hosts of that architecture and its SHA-256 in hex.
func (a *agentSource) Binary(arch string) (path string, sha256hex string, err error) {
	path = a.executable
	if a.goos != "linux" || a.arch != arch {
		name := "kubectl-ha-agent-linux-" + arch
		path = filepath.Join(filepath.Dir(a.executable), name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return "", "", fmt.Errorf("this is the program for %s/%s, and there is no %s next to it in %s; take it from the release's archive",
				a.goos, a.arch, name, filepath.Dir(path))
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if sum := a.sums[path]; sum != "" {
		return path, sum, nil
	}
	sum, err := host.FileSum(path)
	if err != nil {
		return "", "", err
	}
	a.sums[path] = sum
	return path, sum, nil
}

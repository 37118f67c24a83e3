package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// StateDir is this cluster's directory on the workstation. It holds the etcd
// CA's key, which is on no host: $XDG_STATE_HOME/kubectl-ha/NAME@VIRTUAL-IP.
// https://specifications.freedesktop.org/basedir-spec/latest/
func StateDir(c *v1alpha1.Cluster) (string, error) {
	// Colons, as IPv6 addresses have them, are in no file name on Windows.
	name := strings.ReplaceAll(c.Metadata.Name+"@"+c.EndpointHost(), ":", "-")
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "kubectl-ha", name), nil
	}
	if runtime.GOOS == "windows" {
		base, err := os.UserConfigDir()
		if err != nil {
			return "", fmt.Errorf("find the state directory for the CA of the cluster: %w", err)
		}
		return filepath.Join(base, "kubectl-ha", name), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the state directory for the CA of the cluster: %w; set XDG_STATE_HOME", err)
	}
	return filepath.Join(home, ".local", "state", "kubectl-ha", name), nil
}

package cmd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// stateDir is this cluster's directory on the workstation. It holds the etcd
// CA's key, which is on no host: $XDG_STATE_HOME/kubectl-ha/NAME@VIRTUAL-IP.
// https://specifications.freedesktop.org/basedir-spec/latest/
func stateDir(c *v1alpha1.Cluster) (string, error) {
	// Colons, as IPv6 addresses have them, are in no file name on Windows.
	name := strings.ReplaceAll(c.Metadata.Name+"@"+c.Spec.VirtualIP, ":", "-")
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "kubectl-ha", name), nil
	}
	if runtime.GOOS == "windows" {
		base, err := os.UserConfigDir()
		if err != nil {
			return "", fmt.Errorf("find a place for the cluster's CA: %w", err)
		}
		return filepath.Join(base, "kubectl-ha", name), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the cluster's CA: %w; set XDG_STATE_HOME", err)
	}
	return filepath.Join(home, ".local", "state", "kubectl-ha", name), nil
}

// agentRepository is the name of the agent's own image.
const agentRepository = bundle.AgentRepository

var releaseVersion = regexp.MustCompile(`^v\d+\.\d+\.\d+(-(alpha|beta|rc)\.\d+)?$`)

// ownAgentImage is the agentImage of the running program: how nodes are told to call what
// they import. Pods name it by its digest too, see agentSource.Agents.
func ownAgentImage() (string, error) {
	source, err := newAgentSource()
	if err != nil {
		return "", err
	}
	return agentImage(source)
}

// agentImage is the reference under which this program is on the nodes. That of
// a release has its version; any other build goes by its contents.
func agentImage(source *agentSource) (string, error) {
	if v := build().Version; releaseVersion.MatchString(v) {
		return agentRepository + ":" + v, nil
	}
	sum, err := host.FileSum(source.executable)
	if err != nil {
		return "", fmt.Errorf("read the running program: %w", err)
	}
	return agentRepository + ":dev-" + sum[:16], nil
}

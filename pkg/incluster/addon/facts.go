package addon

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Facts are what settings may put into manifests.
type Facts struct {
	Cluster *v1alpha1.Cluster
	// AgentImage is kubectl-ha's own image, which every node of AgentArch has.
	AgentImage, AgentArch string
}

// The names of facts.
const (
	factControlPlanes    = "controlPlanes"    // how many control planes there are
	factClusterName      = "clusterName"      // the cluster's name
	factVirtualIP        = "virtualIP"        // the stable address
	factAgentImage       = "agentImage"       // kubectl-ha's own image
	factAgentArch        = "agentArch"        // the architecture that it is for
	factEtcdTargets      = "etcdTargets"      // the members' client ports, for Prometheus' file_sd_configs
	factVirtualIPTargets = "virtualIPTargets" // the API at the stable address, alike
)

// FactNames are the values that a setting may have.
func FactNames() []string {
	return []string{factControlPlanes, factClusterName, factVirtualIP, factAgentImage, factAgentArch, factEtcdTargets, factVirtualIPTargets}
}

// value is a fact as it stands in an object.
func (f Facts) value(name string) (any, error) {
	c := f.Cluster
	switch name {
	case factControlPlanes:
		return int64(len(c.ControlPlanes())), nil
	case factClusterName:
		return c.Metadata.Name, nil
	case factVirtualIP:
		return c.EndpointHost(), nil
	case factAgentImage:
		return f.AgentImage, nil
	case factAgentArch:
		return f.AgentArch, nil
	case factEtcdTargets:
		var groups []targets
		for _, h := range c.EtcdMembers() {
			groups = append(groups, targets{Targets: []string{net.JoinHostPort(h.Address, strconv.Itoa(v1alpha1.EtcdClientPort))},
				Labels: map[string]string{"member": h.Name}})
		}
		return marshal(groups)
	case factVirtualIPTargets:
		return marshal([]targets{{Targets: []string{c.Endpoint()}, Labels: map[string]string{"address": c.EndpointHost()}}})
	}
	return nil, fmt.Errorf("the fact %q is not known", name)
}

// targets is a group of file_sd_configs.
// https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config
type targets struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels,omitempty"`
}

func marshal(groups []targets) (string, error) {
	text, err := json.Marshal(groups)
	return string(text), err
}

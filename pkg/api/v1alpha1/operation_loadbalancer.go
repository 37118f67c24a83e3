package v1alpha1

import (
	"net"
	"slices"
	"strconv"
)

const (
	// OperationLoadBalancer sets the load balancer up on every control plane, or
	// changes the one that is there.
	OperationLoadBalancer OperationType = "LoadBalancer"
	// OperationRemoveLoadBalancer points everything back at the virtual IP's own
	// port and takes the load balancer away.
	OperationRemoveLoadBalancer OperationType = "RemoveLoadBalancer"
)

// LoadBalancerUse is who uses the load balancer instead of the virtual IP's own port.
// +kubebuilder:validation:Enum=kube-proxy;kubelets;kubeconfig
type LoadBalancerUse string

// The uses. Kubelets are those of the workers, and of what joins later; a control
// plane's kubelet stays with its own apiserver (kubernetes#127316).
const (
	UseForKubeProxy  LoadBalancerUse = "kube-proxy"
	UseForKubelets   LoadBalancerUse = "kubelets"
	UseForKubeconfig LoadBalancerUse = "kubeconfig"
)

// LoadBalancerUses are all of them.
func LoadBalancerUses() []LoadBalancerUse {
	return []LoadBalancerUse{UseForKubeProxy, UseForKubelets, UseForKubeconfig}
}

// LoadBalancerSpec says which load balancer is to be there.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.loadBalancer can't be changed; create a new Operation"
type LoadBalancerSpec struct {
	// Type is haproxy or nginx.
	// +kubebuilder:validation:Enum=haproxy;nginx
	Type string `json:"type"`
	// Port is its port on the virtual IP.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// Image is the reference of its image, which the control planes have.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image"`
	// UseFor lists who uses it; nobody else's endpoint is changed.
	// +kubebuilder:validation:MaxItems=8
	// +listType=set
	UseFor []LoadBalancerUse `json:"useFor,omitempty"`
}

// Balances tells whether the load balancer is there for that use.
func (l LoadBalancer) Balances(use LoadBalancerUse) bool {
	return l.Enabled && slices.Contains(l.UseFor, use)
}

// EndpointFor is the address of the API for a use: the load balancer's where it was
// asked for that, else the virtual IP's own port.
func (c *Cluster) EndpointFor(use LoadBalancerUse) string {
	if !c.Spec.LoadBalancer.Balances(use) {
		return c.Endpoint()
	}
	return c.BalancedEndpoint()
}

// BalancedEndpoint is the load balancer's address, whether it is there or not.
func (c *Cluster) BalancedEndpoint() string {
	port := c.Spec.LoadBalancer.Port
	if port == 0 {
		port = DefaultLoadBalancerPort
	}
	return net.JoinHostPort(c.Spec.VirtualIP, strconv.Itoa(int(port)))
}

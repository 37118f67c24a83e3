package loadbalancer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/balancer"
)

// Status is what is seen of the load balancer.
type Status struct {
	Installed bool   `json:"installed"`
	Type      string `json:"type,omitempty"`
	Image     string `json:"image,omitempty"`
	// Endpoint is its address, of the virtual IP and its port.
	Endpoint string   `json:"endpoint,omitempty"`
	UseFor   []string `json:"useFor,omitempty"`
	// Pods are its pods, one a control plane.
	Pods []Pod `json:"pods,omitempty"`
	// KubeProxy and ClusterInfo are what these two point at.
	KubeProxy   string `json:"kubeProxy,omitempty"`
	ClusterInfo string `json:"clusterInfo,omitempty"`
	// Problems are what is not as it should be, each a line; none when all is well.
	Problems []string `json:"problems,omitempty"`
}

// Pod is the load balancer on one control plane.
type Pod struct {
	Node string `json:"node"`
	Name string `json:"name,omitempty"`
	// Problem says why it does not serve; empty when it does.
	Problem string `json:"problem,omitempty"`
	// Since is when it began to hand connections to these API servers.
	Since time.Time `json:"since,omitzero"`
	// IdleSeconds is how long a stream may be silent; 0 when it is of an older version,
	// which does not tell.
	IdleSeconds int               `json:"idleSeconds,omitempty"`
	Servers     []balancer.Health `json:"servers,omitempty"`
}

// lookTimeout bounds the question to one pod.
const lookTimeout = 15 * time.Second

// Look looks at the load balancer: at its objects, into its pods, and through it.
func Look(ctx context.Context, clients *client.Clients, c *v1alpha1.Cluster) (*Status, error) {
	lb := c.Spec.LoadBalancer
	s := &Status{}
	image, err := Image(ctx, clients.Kube)
	if err != nil {
		return nil, err
	}
	if image == "" {
		if lb.Enabled {
			s.Problems = append(s.Problems, "the stored Cluster document says that there is one, and its DaemonSet is gone: kubectl ha loadbalancer install brings it back")
		}
		return s, nil
	}
	s.Installed, s.Type, s.Image, s.Endpoint = true, lb.Type, image, c.BalancedEndpoint()
	if !lb.Enabled {
		s.Problems = append(s.Problems, "its installation has not ended: kubectl ha operation list shows why")
	}
	for _, u := range lb.UseFor {
		s.UseFor = append(s.UseFor, string(u))
	}
	if err := s.lookIn(ctx, clients, c); err != nil {
		return nil, err
	}
	config, err := Trust(clients.Config)
	if err != nil {
		return nil, err
	}
	if err := balancer.Ready(ctx, config, s.Endpoint, dialTimeout); err != nil {
		s.Problems = append(s.Problems, "no answer at "+s.Endpoint+": "+err.Error())
	}
	return s, s.lookAtUsers(ctx, clients.Kube, c)
}

// lookIn asks each pod, all at once.
func (s *Status) lookIn(ctx context.Context, clients *client.Clients, c *v1alpha1.Cluster) error {
	pods, err := listPods(ctx, clients.Kube)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	hosts := c.ControlPlanes()
	s.Pods = make([]Pod, len(hosts))
	for i, h := range hosts {
		p := &s.Pods[i]
		p.Node, p.Problem = h.Name, podOn(pods, h.Name)
		for j := range pods {
			if pods[j].Spec.NodeName == h.Name && pods[j].DeletionTimestamp == nil {
				p.Name = pods[j].Name
			}
		}
		if p.Problem == "" {
			all.Go(func() { p.look(ctx, clients) })
		}
	}
	all.Wait()
	for _, p := range s.Pods {
		if p.Problem != "" {
			s.Problems = append(s.Problems, p.Node+": "+p.Problem)
		}
		for _, h := range p.Servers {
			if !h.Up {
				s.Problems = append(s.Problems, fmt.Sprintf("%s: takes %s for down: %s", p.Node, h.Name, h.Reason))
			}
		}
		if p.Problem == "" && len(p.Servers) != len(hosts) {
			s.Problems = append(s.Problems, fmt.Sprintf("%s: hands connections to %d API servers instead of %d", p.Node, len(p.Servers), len(hosts)))
		}
	}
	return nil
}

// look executes the agent in the pod, which tells what its load balancer sees.
func (p *Pod) look(ctx context.Context, clients *client.Clients) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	out, err := execute(ctx, clients, p.Name)
	var state balancer.State
	if err == nil {
		err = json.Unmarshal(out, &state)
	}
	if err != nil {
		p.Problem = "it can't be looked into: " + err.Error()
		return
	}
	p.Since, p.IdleSeconds, p.Servers = state.Since, state.IdleSeconds, state.Health
	if state.ListError != "" {
		p.Problem = "it can't ask which control planes there are: " + state.ListError
	}
}

// execute runs the agent's look in a pod.
func execute(ctx context.Context, clients *client.Clients, pod string) ([]byte, error) {
	executor, err := clients.Executor(v1alpha1.SystemNamespace, pod, &corev1.PodExecOptions{Container: container,
		Command: []string{"/agent/kubectl-ha", "agent", "balance-state"}, Stdout: true, Stderr: true})
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}); err != nil {
		return nil, errors.Join(err, errors.New(strings.TrimSpace(stderr.String())))
	}
	return stdout.Bytes(), nil
}

// lookAtUsers reads what points at an endpoint of the API.
func (s *Status) lookAtUsers(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster) error {
	for _, u := range []struct {
		namespace, name, key string
		use                  v1alpha1.LoadBalancerUse
		into                 *string
	}{
		{metav1.NamespaceSystem, "kube-proxy", "kubeconfig.conf", v1alpha1.UseForKubeProxy, &s.KubeProxy},
		{metav1.NamespacePublic, "cluster-info", "kubeconfig", v1alpha1.UseForKubelets, &s.ClusterInfo},
	} {
		m, err := kube.CoreV1().ConfigMaps(u.namespace).Get(ctx, u.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			*u.into = "nothing: there is none"
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s/%s: %w", u.namespace, u.name, err)
		}
		config, err := clientcmd.Load([]byte(m.Data[u.key]))
		if err != nil {
			return fmt.Errorf("%s/%s: %w", u.namespace, u.name, err)
		}
		for _, cluster := range config.Clusters {
			*u.into = cluster.Server
		}
		if want := c.URLFor(u.use); *u.into != want {
			s.Problems = append(s.Problems, fmt.Sprintf("%s points at %s instead of %s: kubectl ha loadbalancer install sets it right", u.name, *u.into, want))
		}
	}
	return nil
}

// Package client holds the ways in which the cluster is talked to.
package client

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// The client's own rate limit; client-go's default of 5 a second would be what
// most of a short Operation's time is spent on.
const (
	requestsPerSecond = 50
	requestBurst      = 100
)

// Clients are the clients of one cluster.
type Clients struct {
	Kube    kubernetes.Interface
	Dynamic dynamic.Interface
	// Mapper finds the resource of a kind. Reset it after a CRD was added.
	Mapper meta.ResettableRESTMapper
	// Config is what the clients were made of.
	Config *rest.Config
}

// New makes the clients. The config is not changed.
func New(config *rest.Config) (*Clients, error) {
	c := rest.CopyConfig(config)
	c.QPS, c.Burst = requestsPerSecond, requestBurst
	// The default prints the server's warnings into whatever is on the terminal.
	c.WarningHandlerWithContext = rest.NoWarnings{}
	kube, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", c.Host, err)
	}
	dyn, err := dynamic.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", c.Host, err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kube.Discovery()))
	return &Clients{Kube: kube, Dynamic: dyn, Mapper: mapper, Config: c}, nil
}

// LeaseClient is a client for renewing a lease: every request has its own
// connection state that a dead apiserver can't hold for longer than timeout.
func LeaseClient(config *rest.Config, timeout time.Duration) (kubernetes.Interface, error) {
	c := rest.CopyConfig(config)
	c.Timeout = timeout
	// With HTTP/1.1 a request that timed out takes its connection with it; with
	// HTTP/2 the next one would wait on the same dead connection.
	c.NextProtos = []string{"http/1.1"}
	kube, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", c.Host, err)
	}
	return kube, nil
}

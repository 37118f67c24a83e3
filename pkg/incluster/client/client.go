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
	"k8s.io/client-go/util/flowcontrol"
)

// The rate limit of one program, over all of its clients. client-go's default of 5 a second would be
// what most of a short Operation's time is spent on, and is for each client by itself.
//
// To the API server's priority and fairness a coordinator is one flow (its service account's) among
// the service accounts of workload-low, which have 100 of 245 shares of 600 requests in flight at least
// (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/). 50 requests a second of
// some 10 ms each are half a request in flight: what kube-scheduler allows itself as well
// (--kube-api-qps=50 --kube-api-burst=100), and enough for an upgrade of 5,000 nodes, whose tasks take
// minutes. Watches count when they begin. The coordinator's lease has a client of its own, so that no
// work can hold it up, and so has what it writes of its Operation: with a hundred nodes out at once their
// drains and gates alone ask more than that, and each decision would wait behind them.
const (
	requestsPerSecond = 50
	requestBurst      = 100
)

// Clients are the clients of one cluster.
type Clients struct {
	Kube    kubernetes.Interface
	Dynamic dynamic.Interface
	// Operations is a client at a rate of its own, for the coordinator's Operation and its parts.
	Operations dynamic.Interface
	// Mapper finds the resource of a kind. Reset it after a CRD was added.
	Mapper meta.ResettableRESTMapper
	// Config is what the clients were made of.
	Config *rest.Config
}

// New makes the clients. The config is not changed.
func New(config *rest.Config) (*Clients, error) {
	c := rest.CopyConfig(config)
	// A negative rate is none, as everywhere in client-go: tests measure without.
	if c.RateLimiter == nil && c.QPS >= 0 {
		c.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(requestsPerSecond, requestBurst)
	}
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
	own := rest.CopyConfig(c)
	if own.QPS >= 0 {
		own.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(requestsPerSecond, requestBurst)
	}
	ops, err := dynamic.NewForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", c.Host, err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kube.Discovery()))
	return &Clients{Kube: kube, Dynamic: dyn, Operations: ops, Mapper: mapper, Config: c}, nil
}

// LeaseClient is a client for renewing a lease: every request has its own
// connection state that a dead apiserver can't hold for longer than timeout.
func LeaseClient(config *rest.Config, timeout time.Duration) (kubernetes.Interface, error) {
	c := rest.CopyConfig(config)
	c.Timeout = timeout
	// One request a second or so, which waits for nobody else's.
	c.RateLimiter = nil
	// With HTTP/1.1 a request that timed out takes its connection with it; with
	// HTTP/2 the next one would wait on the same dead connection.
	c.NextProtos = []string{"http/1.1"}
	kube, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", c.Host, err)
	}
	return kube, nil
}

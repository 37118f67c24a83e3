package observe

import (
	"context"
	"encoding/json"
	"net"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	defaultDataDir       = "/var/lib/etcd"
	defaultAPIServerPort = 6443
)

// Run looks at the host. What can't be seen is left out and a warning; only a
// host on which nothing can be told is an error.
func Run(ctx context.Context, env node.Env, spec Spec) (any, error) {
	if spec.DataDir == "" {
		spec.DataDir = defaultDataDir
	}
	if spec.APIServerPort == 0 {
		spec.APIServerPort = defaultAPIServerPort
	}
	o := &observer{h: env.Host, spec: spec, sink: env.Sink}
	interfaces, err := systemInterfaces()
	if err != nil {
		o.warn("the network interfaces can't be listed: %v", err)
	}
	o.network(interfaces)

	// These wait; each writes fields of its own.
	var waits sync.WaitGroup
	for _, look := range []func(context.Context){o.binaries, o.virtualIP, o.vrrp, o.units, o.apiServer, o.images, o.versions, o.programs, o.listeners} {
		waits.Go(func() { look(ctx) })
	}
	for _, look := range []func(){o.identity, o.system, o.cgroups, o.disks, o.commands, o.modules, o.state} {
		look()
	}
	waits.Wait()
	// These need what the others found.
	o.ownership(ctx)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	// At the very end: clocks are compared between hosts.
	o.facts.Time = time.Now()
	return o.facts, nil
}

// observer collects facts. Its methods fill in different fields, so that those
// that wait may run side by side.
type observer struct {
	h     *host.Host
	spec  Spec
	sink  report.Sink
	facts Facts
}

func (o *observer) warn(format string, args ...any) {
	o.sink.Emit(report.Event{Kind: report.Warning, Message: sprintf(format, args...)})
}

// iface is one network interface.
type iface struct {
	name     string
	index    int
	mac      string
	hasDev   bool
	loopback bool
	addrs    []net.IPNet
}

// network finds the interface with the host's address.
func (o *observer) network(interfaces []iface) {
	address, vip := net.ParseIP(o.spec.Address), net.ParseIP(o.spec.VirtualIP)
	for _, i := range interfaces {
		for _, a := range i.addrs {
			if address != nil && a.IP.Equal(address) {
				o.facts.Interface = i.name
				o.facts.PrefixLength, _ = a.Mask.Size()
			}
			if vip != nil && a.IP.Equal(vip) {
				o.facts.VirtualIPHere = true
			}
		}
	}
	for _, i := range interfaces {
		if i.mac != "" && !i.loopback && (i.hasDev || i.name == o.facts.Interface) {
			if o.facts.MACs == nil {
				o.facts.MACs = map[string]string{}
			}
			o.facts.MACs[i.name] = i.mac
		}
	}
	o.facts.DefaultInterface, o.facts.DefaultRoute = o.defaultRoute()
}

// Decode reads a result's data.
func Decode(data json.RawMessage) (Facts, error) {
	var f Facts
	err := json.Unmarshal(data, &f)
	return f, err
}

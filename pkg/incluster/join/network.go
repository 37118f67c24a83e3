package join

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// flannelConfig is the ConfigMap whose net-conf.json has the pod subnet.
const (
	flannelConfig  = "kube-flannel-cfg"
	flannelNetwork = "net-conf.json"
)

// NetworkObjects are the objects of the Cluster's network plugin, none for
// plugin none.
func NetworkObjects(c *v1alpha1.Cluster) ([]*unstructured.Unstructured, error) {
	n := c.Spec.Network
	switch n.Plugin {
	case v1alpha1.NetworkPluginNone:
		return nil, nil
	case v1alpha1.NetworkPluginManifest:
		objects, err := apply.Decode([]byte(n.ManifestContent), "spec.network.manifest "+n.Manifest)
		if err == nil && len(objects) == 0 {
			err = fmt.Errorf("spec.network.manifest %s: it has no objects", n.Manifest)
		}
		return objects, err
	case v1alpha1.NetworkPluginFlannel:
		return flannel(n.PodSubnet)
	default:
		return nil, fmt.Errorf("spec.network.plugin %q is not known", n.Plugin)
	}
}

// flannel is the embedded manifest for one pod subnet, or for an IPv4 and an
// IPv6 one with a comma between.
func flannel(podSubnet string) ([]*unstructured.Unstructured, error) {
	objects, err := apply.Load(manifests.FS, manifests.Flannel)
	if err != nil {
		return nil, err
	}
	for i, u := range objects {
		if u.GetKind() != "ConfigMap" || u.GetName() != flannelConfig {
			continue
		}
		config := &corev1.ConfigMap{}
		if err := apply.Typed(u, config); err != nil {
			return nil, err
		}
		if config.Data[flannelNetwork], err = netConf(config.Data[flannelNetwork], podSubnet); err != nil {
			return nil, err
		}
		if objects[i], err = apply.Untyped(config); err != nil {
			return nil, err
		}
		return objects, nil
	}
	return nil, fmt.Errorf("%s has no ConfigMap %s", manifests.Flannel, flannelConfig)
}

// netConf puts the subnets into flannel's configuration.
// https://github.com/flannel-io/flannel/blob/master/Documentation/configuration.md
func netConf(conf, podSubnet string) (string, error) {
	fields := map[string]any{}
	if err := json.Unmarshal([]byte(conf), &fields); err != nil {
		return "", fmt.Errorf("%s: %w", flannelNetwork, err)
	}
	delete(fields, "Network")
	for _, s := range strings.Split(podSubnet, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(s))
		if err != nil {
			return "", fmt.Errorf("spec.network.podSubnet: %w", err)
		}
		if p.Addr().Is4() {
			fields["Network"] = p.String()
		} else {
			fields["EnableIPv6"], fields["IPv6Network"] = true, p.String()
		}
	}
	if _, ok := fields["Network"]; !ok {
		fields["EnableIPv4"] = false
	}
	out, err := json.Marshal(fields)
	return string(out), err
}

// applyNetwork applies the network plugin. Whether it works is seen by the
// nodes becoming Ready.
func applyNetwork(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	c, err := document.WithManifest(ctx, t.Clients.Kube, t.Cluster)
	if err != nil {
		return engine.Outcome{}, err
	}
	objects, err := NetworkObjects(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	changed, err := apply.Apply(ctx, t.Clients, objects, apply.Options{})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("network plugin %s: %w", t.Cluster.Spec.Network.Plugin, err)
	}
	return engine.Outcome{Message: fmt.Sprintf("%d of %d objects changed", len(changed), len(objects))}, nil
}

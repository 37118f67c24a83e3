package upgrade

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// metricsTimeout bounds the reading of one apiserver's metrics, which are some megabytes.
const metricsTimeout = 15 * time.Second

// Deprecated is an API that somebody asks for.
type Deprecated struct {
	Group, Version, Resource, Subresource string
	// Removed is the first version without it: 1.38.
	Removed string
}

// Name is the API as kubectl names it: flowschemas.v1beta3.flowcontrol.apiserver.k8s.io.
func (d Deprecated) Name() string {
	name := d.Resource + "." + d.Version
	if d.Group != "" {
		name += "." + d.Group
	}
	if d.Subresource != "" {
		name += "/" + d.Subresource
	}
	return name
}

// metricDeprecated has the value 1 for each deprecated API that was requested
// since the apiserver began. https://kubernetes.io/docs/reference/instrumentation/metrics/
const metricDeprecated = "apiserver_requested_deprecated_apis"

// deprecated asks the apiserver that answers. The others may have been asked for
// something else; each keeps its own count, so from inside each is asked that is well.
func deprecated(ctx context.Context, config *rest.Config, o Observation) ([]Deprecated, error) {
	hosts := []string{config.Host}
	if o.Inside {
		hosts = nil
		for _, e := range o.APIServers {
			if e.Error == "" {
				hosts = append(hosts, "https://"+e.Address)
			}
		}
	}
	var out []Deprecated
	for _, h := range hosts {
		one, err := deprecatedAt(ctx, config, h)
		if err != nil {
			return nil, err
		}
		out = append(out, one...)
	}
	slices.SortFunc(out, func(a, b Deprecated) int { return strings.Compare(a.Name(), b.Name()) })
	return slices.Compact(out), nil
}

func deprecatedAt(ctx context.Context, config *rest.Config, host string) ([]Deprecated, error) {
	own := rest.CopyConfig(config)
	own.Host, own.Timeout = host, metricsTimeout
	d, err := discovery.NewDiscoveryClientForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", host, err)
	}
	data, err := d.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the metrics of the apiserver at %s: %w", host, err)
	}
	return parseDeprecated(data)
}

func parseDeprecated(metrics []byte) ([]Deprecated, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(metrics))
	if err != nil {
		return nil, fmt.Errorf("the apiserver's metrics: %w", err)
	}
	var out []Deprecated
	for _, m := range families[metricDeprecated].GetMetric() {
		if m.GetGauge().GetValue() == 0 {
			continue
		}
		values := map[string]string{}
		for _, l := range m.GetLabel() {
			values[l.GetName()] = l.GetValue()
		}
		out = append(out, Deprecated{Group: values["group"], Version: values["version"], Resource: values["resource"],
			Subresource: values["subresource"], Removed: values["removed_release"]})
	}
	return out, nil
}

// minorOf is the minor version in a release such as 1.38; the error of an empty
// one, which is an API without such a plan, says just that.
func minorOf(release string) (uint, error) {
	_, minor, ok := strings.Cut(release, ".")
	if !ok {
		return 0, fmt.Errorf("%q is no release", release)
	}
	n, err := strconv.ParseUint(minor, 10, 16)
	return uint(n), err
}

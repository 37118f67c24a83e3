//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

const (
	addonDeadline = 6 * time.Minute
	// alertDeadline is for a scrape, an evaluation and the minute that the alert waits.
	alertDeadline = 4 * time.Minute

	prometheusImage = "quay.io/prometheus/prometheus:v3.13.5"
	exporterImage   = "quay.io/prometheus/node-exporter:v1.12.1"
)

// ownAddon is a user's own: a certificate for the virtual IP, and a setting.
const ownAddon = `apiVersion: kubectl-ha.dev/v1alpha1
kind: Addon
name: e2e-own
description: a user's own folder
version: v1
settings: [{kind: ConfigMap, name: own, path: [data, address], value: virtualIP}]
certificates: [{secret: own-tls, namespace: e2e-own, authority: cluster, commonName: own, server: true}]
`

const ownManifest = `apiVersion: v1
kind: Namespace
metadata: {name: e2e-own}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: own, namespace: e2e-own}
data: {address: ""}
`

// TestAddons installs metrics-server, monitoring without Grafana (whose image the
// lab does not have) and a user's own folder, uses them, and removes all of it.
func TestAddons(t *testing.T) {
	c := sharedCluster(t)
	c.bringAddonImages(t)
	before := c.everything(t)

	own := t.TempDir()
	for name, content := range map[string]string{"addon.yaml": ownAddon, "own.yaml": ownManifest} {
		if err := os.WriteFile(filepath.Join(own, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := []string{"addon", "install", "metrics-server", "monitoring", own, "--without", "grafana", "--yes", "--kubeconfig", c.kubeconfig}
	if r := c.ha(t, addonDeadline, install...); r.code != 0 {
		t.Fatalf("install: %s", r)
	}
	defer func() {
		if t.Failed() {
			// Others use this cluster; what is left of a removal that failed is in its output.
			t.Logf("removing the addons: %s", c.ha(t, addonDeadline, "addon", "uninstall", "metrics-server", "monitoring", "e2e-own", "--yes", "--kubeconfig", c.kubeconfig))
		}
	}()
	if r := c.ha(t, suiteDeadline, "addon", "status", "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Errorf("status: %s", r)
	}
	c.top(t)
	c.kubeletsAreVerified(t)
	c.certificateIsSigned(t)
	c.scrapes(t)
	c.alertFires(t)
	if r := c.ha(t, addonDeadline, install...); r.code != 0 || strings.Contains(r.stdout, "objects written") {
		t.Errorf("installing again: %s", r)
	}

	if r := c.ha(t, addonDeadline, "addon", "uninstall", "metrics-server", "monitoring", "e2e-own", "--yes", "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Fatalf("uninstall: %s", r)
	}
	eventually(t, time.Minute, "all resources to be those from before", func() (bool, string) {
		after := c.everything(t)
		var differ []string
		for _, o := range after {
			if !slices.Contains(before, o) {
				differ = append(differ, "+"+o)
			}
		}
		for _, o := range before {
			if !slices.Contains(after, o) {
				differ = append(differ, "-"+o)
			}
		}
		return len(differ) == 0, strings.Join(differ, " ")
	})
}

// bringAddonImages puts into the nodes what the lab has of the addons' images.
func (c *cluster) bringAddonImages(t *testing.T) {
	t.Helper()
	bundle := filepath.Join(t.TempDir(), "addons.tar")
	r := c.ha(t, suiteDeadline, "bundle", "create", "--addons", "metrics-server", "--add-image", prometheusImage, "--add-image", exporterImage,
		"--mirror", c.cached.Mirror, "-o", bundle)
	if r.code != 0 {
		t.Fatalf("bundle create --addons: %s", r)
	}
	if r := c.ha(t, pushDeadline, "images", "push", bundle, "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Fatalf("images push: %s", r)
	}
}

// everything lists what there is, but for what comes and goes by itself: events,
// leases, the requests of kubelets, and what Operations leave in ha-system for a while.
func (c *cluster) everything(t *testing.T) []string {
	t.Helper()
	lists, err := c.client.Discovery().ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	all, err := dynamic.NewForConfig(c.config)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.APIResources {
			passing := []string{"events", "leases", "operations", "componentstatuses", "jobs", "pods", "ipaddresses"}
			if !slices.Contains(r.Verbs, "list") || slices.Contains(passing, r.Name) || gv.Group == "metrics.k8s.io" {
				continue
			}
			items, err := all.Resource(gv.WithResource(r.Name)).List(context.Background(), metav1.ListOptions{})
			if err != nil {
				t.Fatalf("list %s: %v", r.Name, err)
			}
			for _, i := range items.Items {
				out = append(out, fmt.Sprintf("%s.%s %s/%s", r.Name, gv.Group, i.GetNamespace(), i.GetName()))
			}
		}
	}
	return out
}

// top is what kubectl top asks for: every node tells what it uses.
func (c *cluster) top(t *testing.T) {
	t.Helper()
	eventually(t, 2*time.Minute, "the metrics of all nodes", func() (bool, string) {
		raw, err := c.client.RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/nodes").DoRaw(context.Background())
		if err != nil {
			return false, err.Error()
		}
		var list struct {
			Items []struct {
				Usage map[string]string `json:"usage"`
			} `json:"items"`
		}
		if err := json.Unmarshal(raw, &list); err != nil {
			return false, err.Error()
		}
		return len(list.Items) == 4, string(raw)
	})
}

// kubeletsAreVerified connects to every kubelet as somebody who trusts the cluster's CA.
func (c *cluster) kubeletsAreVerified(t *testing.T) {
	t.Helper()
	for _, h := range c.status(t).Hosts {
		c.verified(t, h.Address, "10250", nil)
	}
}

func (c *cluster) verified(t *testing.T, address, port string, roots *x509.CertPool) {
	t.Helper()
	if roots == nil {
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM(c.config.CAData)
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", net.JoinHostPort(address, port), &tls.Config{RootCAs: roots})
	if err != nil {
		t.Errorf("%s:%s can't be verified by the cluster's CA: %v", address, port, err)
		return
	}
	_ = conn.Close() // The handshake is all that is wanted.
}

// certificateIsSigned looks at the own addon's certificate, and at its setting.
func (c *cluster) certificateIsSigned(t *testing.T) {
	t.Helper()
	s, err := c.client.CoreV1().Secrets("e2e-own").Get(context.Background(), "own-tls", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.config.CAData)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: c.vip}); err != nil {
		t.Errorf("the certificate for the virtual IP: %v", err)
	}
	m, err := c.client.CoreV1().ConfigMaps("e2e-own").Get(context.Background(), "own", metav1.GetOptions{})
	if err != nil || m.Data["address"] != c.vip {
		t.Errorf("the setting is %v, %v", m.Data, err)
	}
}

// query asks Prometheus, through the API server, and returns how many series there are.
func (c *cluster) query(expression string) (int, error) {
	raw, err := c.client.CoreV1().RESTClient().Get().AbsPath("/api/v1/namespaces/ha-monitoring/services/prometheus:9090/proxy/api/v1/query").
		Param("query", expression).DoRaw(context.Background())
	if err != nil {
		return 0, err
	}
	var answer struct {
		Data struct {
			Result []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return 0, fmt.Errorf("%w: %s", err, raw)
	}
	return len(answer.Data.Result), nil
}

// scrapes waits until Prometheus reads all that there is, verified by TLS.
func (c *cluster) scrapes(t *testing.T) {
	t.Helper()
	for _, want := range []struct {
		expression string
		count      int
	}{
		{`up{job="etcd"} == 1`, 3}, {`up{job="apiserver"} == 1`, 3}, {`up{job="virtual-ip"} == 1`, 1},
		{`up{job="kubelet"} == 1`, 4}, {`up{job="node"} == 1`, 4}, {`etcd_server_has_leader == 1`, 3},
		// One host has the virtual IP.
		{`node_network_address_info{job="node"} * on(address) group_left() (up{job="virtual-ip"} * 0 + 1)`, 1},
	} {
		eventually(t, 2*time.Minute, want.expression, func() (bool, string) {
			n, err := c.query(want.expression)
			return n == want.count, fmt.Sprintf("%d series instead of %d, %v", n, want.count, err)
		})
	}
}

// alertFires stops an etcd member, and waits for the alert, and for its end.
func (c *cluster) alertFires(t *testing.T) {
	t.Helper()
	const fires = `ALERTS{alertname="EtcdMemberDown",alertstate="firing",member="cp3"}`
	c.exec(t, "cp3", "systemctl", "stop", "etcd.service")
	defer c.exec(t, "cp3", "systemctl", "start", "etcd.service")
	eventually(t, alertDeadline, "the alert of the stopped etcd member", func() (bool, string) {
		n, err := c.query(fires)
		return n == 1, fmt.Sprintf("%d alerts, %v", n, err)
	})
	c.exec(t, "cp3", "systemctl", "start", "etcd.service")
	eventually(t, 2*time.Minute, "the end of the alert", func() (bool, string) {
		n, err := c.query(fires)
		return n == 0 && err == nil, fmt.Sprintf("%d alerts, %v", n, err)
	})
}

//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
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
)

// TestAddons installs the dashboard with metrics-server and monitoring, and a user's own
// folder, uses them, and removes all of it. The images of Headlamp and Grafana are
// stand-ins (see standin), unless LAB_EXTRA brings upstream's: with those what is shown is
// our manifests, certificates, accounts and ports, not Headlamp and not Grafana.
func TestAddons(t *testing.T) {
	c := copyCluster(t)
	browserReady := bringBrowser()
	x := newExtra(t)
	standIns := x.standIns(t, c.cached.Mirror)
	t.Logf("stand-ins: %v", standIns)
	own, next := x.ownAddon(t, "v1", ownUpstream+ownFirst), x.ownAddon(t, "v2", ownUpstream)
	x.serve(t)
	bundle := c.bringAddons(t, "dashboard", "monitoring", own)
	before := c.everything(t)

	install := []string{"dashboard", "install", "--monitoring", "--admin-user", "--yes", "--kubeconfig", c.kubeconfig}
	defer func() {
		if t.Failed() {
			// Others use this cluster; what is left of a removal that failed is in its output.
			t.Logf("removing the addons: %s", c.ha(t, addonDeadline, "addon", "uninstall", "dashboard", "e2e-own", "--yes", "--kubeconfig", c.kubeconfig))
		}
	}()
	if r := c.ha(t, addonDeadline, install...); r.code != 0 || !strings.Contains(r.stdout, "https://"+c.vip+":30443") {
		t.Fatalf("dashboard install: %s", r)
	}
	if r := c.ha(t, addonDeadline, "addon", "install", own, "--bundle", bundle, "--yes", "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Fatalf("addon install: %s", r)
	}
	if r := c.ha(t, suiteDeadline, "addon", "status", "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Errorf("status: %s", r)
	}
	if r := c.ha(t, suiteDeadline, "addon", "list", "--kubeconfig", c.kubeconfig); r.code != 0 || !strings.Contains(strings.Join(strings.Fields(r.stdout), " "), "dashboard v0.45.0 v0.45.0") {
		t.Errorf("list: %s", r)
	}
	c.top(t)
	c.kubeletsAreVerified(t)
	c.certificateIsSigned(t)
	c.scrapes(t)
	t.Run("dashboard", func(t *testing.T) { c.dashboard(t, slices.Contains(standIns, headlampImage)) })
	t.Run("browser", func(t *testing.T) {
		browserReady()
		c.browser(t, slices.Contains(standIns, headlampImage))
	})
	t.Run("renewal", func(t *testing.T) { c.certificateIsRenewed(t) })
	t.Run("newer version", func(t *testing.T) { c.ownAddonIsUpgraded(t, next) })
	t.Run("etcd-operator", func(t *testing.T) { c.etcdOperator(t) })
	// While an alert waits for its minute, the schedule has a run.
	c.renewalSchedule(t, "* * * * *")
	c.backupSchedule(t, "--cron", "* * * * *")
	t.Run("alert", func(t *testing.T) { c.alertFires(t) })
	t.Run("certificates", func(t *testing.T) { c.certificatesAreMetrics(t) })
	t.Run("backups", func(t *testing.T) { c.backupsAreMetrics(t) })
	c.renewalSchedule(t, "off")
	// As late as possible: rates take some scrapes.
	t.Run("queries", func(t *testing.T) { c.queriesAnswer(t) })
	c.backupSchedule(t, "--off")
	if r := c.ha(t, addonDeadline, install...); r.code != 0 || strings.Contains(r.stdout, "objects written") {
		t.Errorf("installing again: %s", r)
	}

	for _, addon := range []string{"e2e-own", "dashboard"} {
		uninstall := []string{"addon", "uninstall", addon}
		if addon == "dashboard" {
			uninstall = []string{"dashboard", "uninstall"}
		}
		if r := c.ha(t, addonDeadline, append(uninstall, "--yes", "--kubeconfig", c.kubeconfig)...); r.code != 0 {
			t.Fatalf("uninstall %s: %s", addon, r)
		}
	}
	c.same(t, before)
}

// same waits until what there is is what was there before.
func (c *cluster) same(t *testing.T, before []string) {
	t.Helper()
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

// bringAddons makes a bundle of addons from the lab's mirror, and puts its images into
// the nodes.
func (c *cluster) bringAddons(t *testing.T, addons ...string) string {
	t.Helper()
	bundle := filepath.Join(t.TempDir(), "addons.tar")
	r := c.ha(t, suiteDeadline, "bundle", "create", "--addons", strings.Join(addons, ","), "--mirror", c.cached.Mirror, "--trust-mirror", "--out", bundle)
	if r.code != 0 {
		t.Fatalf("bundle create --addons: %s", r)
	}
	if r := c.ha(t, pushDeadline, "images", "push", bundle, "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Fatalf("images push: %s", r)
	}
	return bundle
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
	for _, h := range c.cached.Hosts {
		c.verified(t, h.Address, "10250")
	}
}

func (c *cluster) verified(t *testing.T, address, port string) {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", net.JoinHostPort(address, port), &tls.Config{RootCAs: c.roots()})
	if err != nil {
		t.Errorf("%s:%s can't be verified by the cluster's CA: %v", address, port, err)
		return
	}
	_ = conn.Close() // The handshake is all that is wanted.
}

// roots are the cluster's CA alone.
func (c *cluster) roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.config.CAData)
	return roots
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

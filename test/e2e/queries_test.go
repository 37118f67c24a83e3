//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// prometheusAPI is Prometheus' API, through the API server.
const prometheusAPI = "/api/v1/namespaces/ha-monitoring/services/prometheus:9090/proxy/api/v1/"

// absent are the queries to which a cluster that is well may have no answer, and why.
func absent() map[string]string {
	return map[string]string{
		`sum by (instance, code) (rate(apiserver_request_total{job="apiserver",code=~"5.."}[5m]))`: "no request has failed",
	}
}

// queriesAnswer asks the real Prometheus each query of Grafana's dashboards, and has it
// tell of each alert that its expression is evaluated without an error. A panel that
// shows nothing, and an alert about series that there are none of, are mistakes.
func (c *cluster) queriesAnswer(t *testing.T) {
	t.Helper()
	panels := c.panels(t)
	if len(panels) < 25 {
		t.Errorf("there are only %d queries in the dashboards", len(panels))
	}
	eventually(t, 2*time.Minute, "an answer to each query of the dashboards", func() (bool, string) {
		var silent []string
		for expression, panel := range panels {
			n, err := c.query(expression)
			if err != nil || n == 0 && absent()[expression] == "" {
				silent = append(silent, fmt.Sprintf("%s: %s: %d series, %v", panel, expression, n, err))
			}
		}
		return len(silent) == 0, strings.Join(silent, "\n")
	})
	alerts := c.alerts(t)
	for _, a := range alerts {
		if a.Health != "ok" || a.LastError != "" {
			t.Errorf("alert %s: %s %s", a.Name, a.Health, a.LastError)
		}
		for _, series := range c.selectors(t, a.Query) {
			if n, err := c.query(series); err != nil || n == 0 && absent()[series] == "" {
				t.Errorf("alert %s goes by %s: %d series, %v", a.Name, series, n, err)
			}
		}
	}
	if len(alerts) < 15 {
		t.Errorf("Prometheus has only %d alerts", len(alerts))
	}
}

// panels are the queries of the dashboards that Grafana has, with their panels.
func (c *cluster) panels(t *testing.T) map[string]string {
	t.Helper()
	m, err := c.client.CoreV1().ConfigMaps("ha-monitoring").Get(context.Background(), "grafana-dashboards", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name, document := range m.Data {
		var dashboard struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal([]byte(document), &dashboard); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, p := range dashboard.Panels {
			if len(p.Targets) == 0 {
				t.Errorf("%s: the panel %q shows nothing", name, p.Title)
			}
			for _, target := range p.Targets {
				out[target.Expr] = name + ": " + p.Title
			}
		}
	}
	return out
}

// alert is a rule as Prometheus tells of it.
type alert struct {
	Name, Query, Health, LastError string
}

func (c *cluster) alerts(t *testing.T) []alert {
	t.Helper()
	var answer struct {
		Data struct{ Groups []struct{ Rules []alert } }
	}
	c.prometheus(t, &answer, "rules", "", "")
	var out []alert
	for _, g := range answer.Data.Groups {
		out = append(out, g.Rules...)
	}
	return out
}

// selectors are the series that an expression goes by, as Prometheus' own parser has them.
func (c *cluster) selectors(t *testing.T, expression string) []string {
	t.Helper()
	var answer struct{ Data any }
	c.prometheus(t, &answer, "parse_query", "query", expression)
	found := map[string]bool{}
	var walk func(any)
	walk = func(at any) {
		switch node := at.(type) {
		case map[string]any:
			if kind, _ := node["type"].(string); kind == "vectorSelector" || kind == "matrixSelector" {
				found[selector(node)] = true
			}
			for _, below := range node {
				walk(below)
			}
		case []any:
			for _, below := range node {
				walk(below)
			}
		}
	}
	walk(answer.Data)
	if len(found) == 0 {
		t.Errorf("%s goes by nothing", expression)
	}
	return slices.Sorted(maps.Keys(found))
}

// selector writes a selector of Prometheus' syntax tree out.
func selector(node map[string]any) string {
	var parts []string
	matchers, _ := node["matchers"].([]any)
	for _, m := range matchers {
		if m, ok := m.(map[string]any); ok && m["name"] != "__name__" {
			parts = append(parts, fmt.Sprintf("%v%v%q", m["name"], m["type"], m["value"]))
		}
	}
	return fmt.Sprintf("%v{%s}", node["name"], strings.Join(parts, ","))
}

// prometheus asks Prometheus' API, with at most one parameter.
func (c *cluster) prometheus(t *testing.T, answer any, path, name, value string) {
	t.Helper()
	r := c.client.CoreV1().RESTClient().Get().AbsPath(prometheusAPI + path)
	if name != "" {
		r = r.Param(name, value)
	}
	raw, err := r.DoRaw(context.Background())
	if err == nil {
		err = json.Unmarshal(raw, answer)
	}
	if err != nil {
		t.Fatalf("%s %s: %v: %.500s", path, value, err, raw)
	}
}

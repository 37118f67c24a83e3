// Command standin stands for the images that can't be built offline: it takes the
// arguments of Headlamp, or with -grafana is where Grafana is, and reads what our
// manifests give to them. Each of its pages says that it is a stand-in. What a test with
// it shows is of our manifests, certificates, ports and accounts, and nothing of those
// programs.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>stand-in for %[1]s</title></head>
<body><h1>stand-in for %[1]s</h1><p id="script">no script has run</p>
<script>document.getElementById("script").textContent = "secure context: " + window.isSecureContext</script></body></html>
`

// account is where the kubelet puts what -in-cluster reads.
const account = "/var/run/secrets/kubernetes.io/serviceaccount"

type options struct {
	grafana, inCluster bool
	cert, key          string
	port               int
}

func main() {
	var o options
	flag.BoolVar(&o.grafana, "grafana", false, "stand for Grafana, not for Headlamp")
	// From here on as Headlamp 0.45.0 has them.
	flag.BoolVar(&o.inCluster, "in-cluster", false, "reach the API as a pod")
	flag.StringVar(&o.cert, "tls-cert-path", "", "the certificate")
	flag.StringVar(&o.key, "tls-key-path", "", "its key")
	flag.IntVar(&o.port, "port", 4466, "the port")
	flag.String("plugins-dir", "", "not used")
	flag.Parse()
	if err := o.run(); err != nil {
		log.Fatal(err)
	}
}

func (o options) run() error {
	mux := http.NewServeMux()
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	if o.grafana {
		mux.HandleFunc("/api/health", health)
		mux.HandleFunc("/", show("Grafana"))
		server.Addr = ":3000"
		return server.ListenAndServe()
	}
	if !o.inCluster {
		return errors.New("this stands for Headlamp in a cluster")
	}
	for _, f := range []string{"token", "ca.crt"} {
		if _, err := os.ReadFile(filepath.Join(account, f)); err != nil {
			return err
		}
	}
	mux.HandleFunc("/", show("Headlamp"))
	server.Addr = fmt.Sprintf(":%d", o.port)
	return server.ListenAndServeTLS(o.cert, o.key)
}

func show(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		// A client that has gone away is nobody's mistake.
		_, _ = fmt.Fprintf(w, page, name)
	}
}

// health is well when the data source, the provider and every dashboard are where
// Grafana reads them, its data can be written, and the dashboards are JSON.
func health(w http.ResponseWriter, _ *http.Request) {
	if err := provisioned(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func provisioned() error {
	for _, f := range []string{"datasources/datasources.yaml", "dashboards/dashboards.yaml"} {
		if _, err := os.ReadFile(filepath.Join("/etc/grafana/provisioning", f)); err != nil {
			return err
		}
	}
	dashboards, err := filepath.Glob("/var/lib/dashboards/*.json")
	if err != nil || len(dashboards) == 0 {
		return fmt.Errorf("no dashboard is there: %w", err)
	}
	for _, d := range append(dashboards, os.Getenv("GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH")) {
		content, err := os.ReadFile(d)
		if err != nil {
			return err
		}
		if !json.Valid(content) {
			return fmt.Errorf("%s is no JSON", d)
		}
	}
	return os.WriteFile("/var/lib/grafana/written", nil, 0o600)
}

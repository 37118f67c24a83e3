package certs

import (
	"bytes"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/metrics"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// TestMetrics: what Prometheus reads has each certificate once, also those of other hosts, and
// nothing of a key.
func TestMetrics(t *testing.T) {
	h, _ := controlPlane(t, time.Hour)
	etcd := newCA(t, "etcd")
	put(t, h, etcdmember.PKIDir+"/ca", pki.KeyPair{CertPEM: etcd.CertPEM})
	put(t, h, etcdmember.PKIDir+"/server", issue(t, etcd, pki.Request{CommonName: "cp1", Server: true, Validity: 2 * time.Hour}))
	end := time.Date(2027, 3, 4, 5, 6, 7, 0, time.UTC)
	spec := MetricsSpec{Host: "cp1", Others: []Elsewhere{{"e1", EtcdPeer, end}, {"e1", EtcdPeer, end.Add(time.Hour)}, {"e1", EtcdServer, end}}}
	for range 2 { // The second one finds the first one's file.
		data, err := Metrics(t.Context(), newEnv(h), spec)
		if err != nil || len(data.(LookData).Certificates) < 10 {
			t.Fatalf("%+v %v", data, err)
		}
	}
	raw, err := h.ReadFile(metrics.Dir + "/" + metricsFile)
	if err != nil || bytes.Contains(raw, []byte("PRIVATE")) {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	seen := map[[3]string]float64{}
	for _, m := range families[MetricEnd].GetMetric() {
		key := [3]string{}
		for _, l := range m.GetLabel() {
			key[map[string]int{"host": 0, "certificate": 1, "renewed_by": 2}[l.GetName()]] = l.GetValue()
		}
		if _, twice := seen[key]; twice {
			t.Errorf("%v is there twice", key)
		}
		seen[key] = m.GetGauge().GetValue()
	}
	if got := seen[[3]string{"e1", EtcdPeer, "workstation"}]; got != float64(end.Unix()) {
		t.Errorf("of two of a name the first end counts: %v", got)
	}
	for _, want := range [][3]string{{"cp1", APIServer, "host"}, {"cp1", EtcdServer, "workstation"}, {"cp1", Kubelet, "kubelet"}, {"cp1", pkiDir + "/ca.crt", "rotation"}, {"e1", EtcdServer, "workstation"}} {
		if left := seen[want] - float64(time.Now().Unix()); left < 3000 {
			t.Errorf("%v ends in %v seconds", want, left)
		}
	}
	if at := families[MetricLook].GetMetric(); len(at) != 1 || at[0].GetGauge().GetValue() < float64(time.Now().Add(-time.Minute).Unix()) {
		t.Errorf("looked at %v", at)
	}
	if info, err := h.Stat(metrics.Dir + "/" + metricsFile); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v %v", info, err)
	}
}

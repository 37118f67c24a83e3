//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	// shortLife is long enough for a renewal of everything, and short enough to see several.
	shortLife = 8 * time.Minute
	// endedLife ends while the test waits for it.
	endedLife = 3 * time.Minute
	// normalLife is what bootstrap gives.
	normalLife = "8760h"
	// renewDeadline bounds one renewal of all nodes.
	renewDeadline = 10 * time.Minute
)

// seenCertificate is one of `certs status --deep -o json`.
type seenCertificate struct {
	Name     string    `json:"name"`
	Host     string    `json:"host"`
	NotAfter time.Time `json:"notAfter"`
	CA       bool      `json:"ca"`
	Due      bool      `json:"due"`
}

// renewable are the certificates of all hosts that `certs renew` renews.
func (c *cluster) renewable(t *testing.T) []seenCertificate {
	t.Helper()
	r := c.ha(t, suiteDeadline, "certs", "status", "--deep", "-o", "json", "--kubeconfig", c.kubeconfig)
	if r.code != 0 && r.code != exitFindings {
		t.Fatalf("certs status: %s", tail(r.String(), 3000))
	}
	var seen struct {
		Certificates []seenCertificate `json:"certificates"`
		Missed       []string          `json:"missed"`
		Unseen       map[string]string `json:"unseen"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &seen); err != nil {
		t.Fatalf("certs status: %v: %s", err, tail(r.stdout, 2000))
	}
	if len(seen.Unseen) > 0 {
		t.Errorf("hosts that were not seen: %v", seen.Unseen)
	}
	var out []seenCertificate
	for _, s := range seen.Certificates {
		if s.Name != "" && s.Name != "kubelet" && !s.CA {
			out = append(out, s)
		}
	}
	// Nine on each of three control planes, which are members too, and super-admin.conf.
	if len(out) < 28 {
		t.Fatalf("only %d certificates are seen: %+v", len(out), out)
	}
	return out
}

// lastEnd is when the last of them ends.
func lastEnd(all []seenCertificate) (end time.Time) {
	for _, s := range all {
		if s.NotAfter.After(end) {
			end = s.NotAfter
		}
	}
	return end
}

func (c *cluster) renewCertificates(t *testing.T, args ...string) string {
	t.Helper()
	start := time.Now()
	r := c.ha(t, renewDeadline, append([]string{"certs", "renew", "-f", c.file, "--kubeconfig", c.kubeconfig, "--yes"}, args...)...)
	if r.code != 0 {
		t.Fatalf("certs renew %v: %s", args, tail(r.String(), 6000))
	}
	t.Logf("certs renew %s took %s", strings.Join(args, " "), time.Since(start).Round(time.Second))
	return r.String()
}

// TestCertificatesForLife: a cluster whose certificates live for minutes is renewed while it is in
// use, for longer than they live, and no request fails. Then nobody renews them: they end, everything
// is restarted, there is no API any more, and one command brings the cluster back.
func TestCertificatesForLife(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	before := c.renewable(t)
	p := c.prober(t, c.vip)
	p.every = 50 * time.Millisecond
	if err := p.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	stop := p.start()
	defer stop()
	began := time.Now()
	c.renewCertificates(t, "--all", "--life-for-tests", shortLife.String())
	all := c.renewable(t)
	if len(all) != len(before) {
		t.Errorf("%d certificates before, %d after", len(before), len(all))
	}
	for _, s := range all {
		if left := time.Until(s.NotAfter); left > shortLife {
			t.Errorf("%s of %s was not renewed: it ends in %s", s.Name, s.Host, left.Round(time.Second))
		}
	}
	eventually(t, shortLife, "all certificates are due", func() (bool, string) {
		young := 0
		for _, s := range c.renewable(t) {
			if !s.Due {
				young++
			}
		}
		return young == 0, fmt.Sprintf("%d are not due", young)
	})
	c.renewCertificates(t)
	if lived := time.Since(began); lived < shortLife {
		t.Errorf("all that took %s, less than one life", lived)
	}
	stop()
	if o := p.outageSince(began); o.failed > 0 {
		t.Errorf("not lossless: %s\n%s", o, p.timeline(began))
	} else {
		t.Logf("%d requests in %s, none failed", o.requests, time.Since(began).Round(time.Second))
	}
	if got := c.renewCertificates(t); !strings.Contains(got, "No certificate is due") {
		t.Errorf("renewed once more: %s", tail(got, 2000))
	}
	c.endAndRescue(t)
}

// endAndRescue lets everything end, restarts it, and brings it back.
func (c *cluster) endAndRescue(t *testing.T) {
	c.renewCertificates(t, "--all", "--life-for-tests", endedLife.String())
	end := lastEnd(c.renewable(t))
	eventually(t, 2*endedLife, "all certificates have ended", func() (bool, string) {
		return time.Now().After(end.Add(2 * time.Second)), "the last ends at " + end.Format(time.TimeOnly)
	})
	for _, h := range c.names("control-plane") {
		c.exec(t, h, "systemctl", "restart", "etcd")
		c.exec(t, h, "pkill", "-KILL", "-x", "kube-apiserver")
	}
	p := c.prober(t, c.vip)
	eventually(t, 2*time.Minute, "there is no API any more", func() (bool, string) {
		err := p.once()
		return err != nil, "it answers"
	})
	start := time.Now()
	r := c.ha(t, 2*renewDeadline, "certs", "rescue", "-f", c.file, "--yes", "--life-for-tests", normalLife)
	if r.code != 0 {
		t.Fatalf("certs rescue: %s", tail(r.String(), 8000))
	}
	t.Logf("the rescue took %s", time.Since(start).Round(time.Second))
	c.settled(t)
	if left := time.Until(lastEnd(c.renewable(t))); left < 8000*time.Hour {
		t.Errorf("the last certificate ends in %s", left)
	}
	if r := c.ha(t, suiteDeadline, "certs", "rescue", "-f", c.file, "--yes"); r.code != 0 || !strings.Contains(r.stdout, "Nothing was due") {
		t.Errorf("rescued once more: %s", tail(r.String(), 3000))
	}
}

// TestCertificatesRenewed: every certificate of a cluster is renewed while it is in use; no
// request fails, and each ends later than before.
func TestCertificatesRenewed(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	if r := c.ha(t, suiteDeadline, "certs", "status", "--kubeconfig", c.kubeconfig); r.code != 0 || !strings.Contains(r.stdout, "RENEWED BY") {
		t.Errorf("certs status: %s", r)
	}
	before := map[string]time.Time{}
	for _, s := range c.renewable(t) {
		before[s.Host+"/"+s.Name] = s.NotAfter
	}
	p := c.prober(t, c.vip)
	if err := p.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	stop := p.start()
	defer stop()
	began := time.Now()
	c.renewCertificates(t, "--all")
	stop()
	if o := p.outageSince(began); o.failed > 0 {
		t.Errorf("not lossless: %s\n%s", o, p.timeline(began))
	} else {
		t.Logf("%d requests, none failed", o.requests)
	}
	after := c.renewable(t)
	if len(after) != len(before) {
		t.Errorf("%d certificates before, %d after", len(before), len(after))
	}
	for _, s := range after {
		if was := before[s.Host+"/"+s.Name]; !s.NotAfter.After(was) {
			t.Errorf("%s of %s ends at %s, and ended at %s before", s.Name, s.Host, s.NotAfter, was)
		}
	}
	c.settled(t)
}

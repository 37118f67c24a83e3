//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// certificateIsRenewed puts a certificate in place of the dashboard's that ends in ten
// days: doctor finds that, and its fix has another one signed, with which the dashboard
// is served.
func (c *cluster) certificateIsRenewed(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	ca := pki.KeyPair{CertPEM: c.config.CAData, KeyPEM: []byte(c.exec(t, "cp1", "cat", "/etc/kubernetes/pki/ca.key"))}
	pair, err := pki.Issue(ca, pki.Request{CommonName: "headlamp", Server: true, IPs: []net.IP{net.ParseIP(c.vip)}, Validity: 10*24*time.Hour + time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	secrets := c.client.CoreV1().Secrets("ha-dashboard")
	have, err := secrets.Get(ctx, "headlamp-tls", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// By the name of the addons' own manager, so that nobody else has changed it.
	have.Data["tls.crt"], have.Data["tls.key"] = pair.CertPEM, pair.KeyPEM
	soon := applycorev1.Secret(have.Name, have.Namespace).WithLabels(have.Labels).WithType(have.Type).WithData(have.Data)
	if _, err := secrets.Apply(ctx, soon, metav1.ApplyOptions{FieldManager: "kubectl-ha-addon"}); err != nil {
		t.Fatal(err)
	}

	found := c.ha(t, suiteDeadline, "doctor", "--quick", "--kubeconfig", c.kubeconfig)
	if !strings.Contains(found.stdout, "ha-dashboard/headlamp-tls of the addon dashboard ends in 10 days") {
		t.Fatalf("doctor: %s", found)
	}
	dry := c.ha(t, suiteDeadline, "doctor", "--quick", "--fix", "--dry-run", "--kubeconfig", c.kubeconfig)
	if dry.code != 0 || !strings.Contains(dry.stderr, "the certificates of dashboard") || !strings.Contains(dry.stdout, "have headlamp signed for "+c.vip) {
		t.Errorf("doctor --fix --dry-run: %s", dry)
	}
	if r := c.ha(t, addonDeadline, "doctor", "--quick", "--fix", "--yes", "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Fatalf("doctor --fix: %s", r)
	}
	if have, err = secrets.Get(ctx, "headlamp-tls", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	end, err := pki.NotAfter(have.Data["tls.crt"])
	if err != nil || time.Until(end) < 300*24*time.Hour {
		t.Errorf("the new certificate ends at %s, %v", end, err)
	}
	eventually(t, time.Minute, "the dashboard to be served with the new certificate", func() (bool, string) {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", net.JoinHostPort(c.vip, "30443"), &tls.Config{RootCAs: c.roots()})
		if err != nil {
			return false, err.Error()
		}
		defer func() { _ = conn.Close() }() // The handshake is all that is wanted.
		served := conn.ConnectionState().PeerCertificates[0].NotAfter
		return served.Equal(end), served.String()
	})
	if again := c.ha(t, suiteDeadline, "doctor", "--quick", "--kubeconfig", c.kubeconfig); strings.Contains(again.stdout, "headlamp-tls") {
		t.Errorf("doctor after its own mending: %s", again)
	}
}

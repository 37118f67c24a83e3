//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browserDeadline bounds one start of the browser, which takes its time on a loaded machine.
const browserDeadline = time.Minute

// browserPrograms are those of Debian's packages chromium and libnss3-tools.
func browserPrograms() []string { return []string{"chromium", "certutil"} }

// browserIsThere says what lacks for a browser; empty when nothing does.
func browserIsThere() string {
	for _, p := range browserPrograms() {
		if _, err := exec.LookPath(p); err != nil {
			return err.Error()
		}
	}
	return ""
}

// bringBrowser installs the browser beside what else is done, where root may do so as the
// lab does with what it lacks. What it returns waits for that.
func bringBrowser() (ready func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if browserIsThere() == "" || os.Getuid() != 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		env := []string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get"}
		// What has failed is seen by what is there afterwards.
		_, _ = command(ctx, "", nil, append(env, "update", "-q")...)
		_, _ = command(ctx, "", nil, append(env, "install", "-q", "-y", "--no-install-recommends", "chromium", "libnss3-tools")...)
	}()
	return func() { <-done }
}

// browser opens the dashboard at the virtual IP in Chromium: with the cluster's CA in the
// profile's certificates it is shown, without a warning; in a profile without that the
// warning is there, so that its absence means something.
func (c *cluster) browser(t *testing.T, standIn bool) {
	t.Helper()
	if lacks := browserIsThere(); lacks != "" {
		t.Skipf("no browser: %s (apt-get install chromium libnss3-tools)", lacks)
	}
	// Of the warning's page Chromium has no content here; it names the reason.
	const warning = "net::ERR_CERT_"
	url := "https://" + c.vip + ":30443"
	want := "Headlamp"
	if standIn {
		// What the page's script has written.
		want = "secure context: true"
	}
	trusting, stranger := c.profile(t, c.config.CAData), c.profile(t, nil)
	eventually(t, 3*browserDeadline, "the dashboard in a browser that trusts the cluster's CA", func() (bool, string) {
		r, err := visit(trusting, url)
		return err == nil && strings.Contains(r.stdout, want) && !strings.Contains(r.stderr, warning), fmt.Sprintf("%v %s", err, r)
	})
	eventually(t, 3*browserDeadline, "the warning in a browser that does not", func() (bool, string) {
		r, err := visit(stranger, url)
		return err == nil && strings.Contains(r.stderr, warning) && !strings.Contains(r.stdout, want), fmt.Sprintf("%v %s", err, r)
	})
}

// profile is a home directory for a browser, with a CA that it trusts, or none.
func (c *cluster) profile(t *testing.T, ca []byte) string {
	t.Helper()
	// Not t.TempDir: what the browser leaves running for a moment may still write there.
	home, err := os.MkdirTemp(suite.dir, "browser-")
	if err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	must(t, browserDeadline, "certutil", "-N", "-d", "sql:"+db, "--empty-password")
	if ca == nil {
		return home
	}
	file := filepath.Join(home, "ca.crt")
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, browserDeadline, "certutil", "-A", "-d", "sql:"+db, "-n", c.name, "-t", "C,,", "-i", file)
	return home
}

// visit opens a page and prints what it looks like after its scripts have run.
func visit(home, url string) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), browserDeadline)
	defer cancel()
	return command(ctx, home, nil, "env", "HOME="+home, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+filepath.Join(home, "profile"), "--dump-dom", url)
}

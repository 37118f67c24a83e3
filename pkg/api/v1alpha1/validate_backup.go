package v1alpha1

import (
	"fmt"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// backup checks what can be told without a connection; whoever sends checks recipients and URLs to
// the last letter.
func (v *validator) backup() {
	b := v.c.Spec.Backup
	for i, r := range b.Recipients {
		if !strings.HasPrefix(r, "age1") {
			// It is not quoted: it may be an identity, which is a secret.
			v.fail(fmt.Sprintf("spec.backup.recipients[%d]", i), "is no recipient of age's; write what age-keygen -y prints, which begins with age1")
		}
	}
	if len(b.Targets) > 0 && len(b.Recipients) == 0 {
		v.fail("spec.backup.recipients", "is empty; a backup holds every Secret of the cluster, and is sent encrypted only")
	}
	seen := map[string]bool{}
	for i, t := range b.Targets {
		at := fmt.Sprintf("spec.backup.targets[%d]", i)
		if msgs := validation.IsDNS1123Label(t.Name); len(msgs) > 0 {
			v.fail(at+".name", "%q is no DNS label: at most 63 lower-case letters, digits and dashes", t.Name)
		}
		if seen[t.Name] {
			v.fail(at+".name", "%s is there twice", t.Name)
		}
		seen[t.Name] = true
		if t.SecretName != "" && len(validation.IsDNS1123Subdomain(t.SecretName)) > 0 {
			v.fail(at+".secretName", "%q can't be the name of a Secret", t.SecretName)
		}
		if t.BytesPerSecond < 0 {
			v.fail(at+".bytesPerSecond", "%d is less than nothing", t.BytesPerSecond)
		}
		v.backupURL(at, t)
	}
}

func (v *validator) backupURL(at string, t BackupTarget) {
	u, err := url.Parse(t.URL)
	switch {
	case err != nil:
		v.fail(at+".url", "is no URL")
	case u.User != nil && strings.Contains(u.User.String(), ":"):
		v.fail(at+".url", "has a password; credentials belong into the Secret")
	case u.Scheme != "s3" && u.Scheme != "sftp" && u.Scheme != "file":
		v.fail(at+".url", "write s3://BUCKET/PREFIX, sftp://USER@HOST:PORT/FOLDER or file:///FOLDER")
	case t.Endpoint != "" && u.Scheme != "s3":
		v.fail(at+".endpoint", "is for s3:// only")
	}
	if e, err := url.Parse(t.Endpoint); t.Endpoint != "" && (err != nil || e.Scheme != "https" && e.Scheme != "http" || e.Host == "" || e.User != nil) {
		v.fail(at+".endpoint", "write https://HOST:PORT")
	}
}

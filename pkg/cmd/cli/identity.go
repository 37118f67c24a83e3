package cli

import (
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"
)

// CertificateUser is the name in the caller's certificate.
func CertificateUser() string {
	if name := loginName(); name != "" {
		return name
	}
	return "admin"
}

// loginName is the caller's name; on Windows without the domain.
func loginName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username[strings.LastIndexByte(u.Username, '\\')+1:]
	}
	for _, name := range []string{"USER", "USERNAME", "LOGNAME"} {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

// Expiry writes when an identity ends.
func Expiry(t time.Time) string {
	if t.IsZero() {
		return "its expiry is unknown"
	}
	when, left := t.Local().Format("2006-01-02 15:04 MST"), time.Until(t)
	switch {
	case left < 2*time.Hour:
		return fmt.Sprintf("expires %s, in %d minutes", when, int(left.Round(time.Minute).Minutes()))
	case left.Round(time.Hour) < 48*time.Hour:
		return fmt.Sprintf("expires %s, in %d hours", when, int(left.Round(time.Hour).Hours()))
	}
	return fmt.Sprintf("expires %s, in %d days", when, int(left.Round(time.Hour).Hours()/24))
}

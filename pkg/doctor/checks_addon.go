package doctor

import (
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// AddonCertificate is a certificate of an installed addon.
type AddonCertificate struct {
	install.Issued
	// BuiltIn addons come with this program, which can therefore install them again.
	BuiltIn bool
}

func addonChecks() []Check {
	return []Check{
		{ID: "addon-certificates", Title: fmt.Sprintf("no certificate of an addon ends within %d days", status.WarnDays), Source: "they are made when an addon is installed", Reads: partAddons, Reinstalls: true,
			Why: "once it has ended browsers refuse the dashboard, and Prometheus sees no etcd", Run: addonCertificates},
	}
}

func addonCertificates(in Input) []Finding {
	const day = 24 * time.Hour
	var out []Finding
	for _, c := range in.Objects.AddonCertificates {
		left := c.NotAfter.Sub(in.Report.Time)
		if left > status.WarnDays*day {
			continue
		}
		f := warning("", fmt.Sprintf("%s/%s of the addon %s ends in %d days", c.Namespace, c.Secret, c.Addon, int(left/day)),
			"kubectl ha doctor --fix makes it anew, by installing the addon again").renewing(c.Addon)
		if left < errorDays*day {
			f.Severity = report.SeverityError
		}
		if left < 0 {
			f.Message = fmt.Sprintf("%s/%s of the addon %s has ended, or is not there", c.Namespace, c.Secret, c.Addon)
		}
		if !c.BuiltIn {
			// Its folder is where it was made.
			f.Addon, f.Hint = "", "kubectl ha addon install with the folder of "+c.Addon+" makes it anew"
		}
		out = append(out, f)
	}
	return out
}

// Addons are those that the findings want to be installed again, each once.
func Addons(results []Result) []string {
	var out []string
	seen := map[string]bool{}
	for _, r := range results {
		for _, f := range r.Findings {
			if f.Addon != "" && !seen[f.Addon] {
				seen[f.Addon] = true
				out = append(out, f.Addon)
			}
		}
	}
	return out
}

package backup

import (
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
)

func TestPrintOwners(t *testing.T) {
	now := time.Unix(0, 0).Add(5 * time.Hour)
	for name, c := range map[string]struct {
		all  []backup.Owner
		want string
	}{
		"none": {nil, "No backups found at the target.\n"},
		"some": {[]backup.Owner{{Identity: "0123", Name: "prod", Backups: 2, Newest: time.Unix(0, 0).Add(3 * time.Hour)}, {Identity: "4567"}}, "CLUSTER   IDENTITY   BACKUPS   LAST\nprod      0123       2         120m\n?         4567       0         ?\n"},
	} {
		var out strings.Builder
		if err := printOwners(&out, c.all, now); err != nil || out.String() != c.want {
			t.Errorf("%s: got %q, %v", name, out.String(), err)
		}
	}
}

// TestListRefuses: what does not fit together is said before anybody is asked.
func TestListRefuses(t *testing.T) {
	for line, says := range map[string]string{
		"list --clusters":                                   "--to",
		"list --of-cluster prod":                            "--to",
		"list --here --to s3://b":                           "(-f)",
		"list --here -f x.yaml":                             "--to",
		"list --clusters --of-cluster prod --to s3://b":     "either",
		"list --hosts --to s3://b":                          "either",
		"download b --of-cluster prod --dir x":              "--identity",
		"download b --of-cluster prod --to s3://b -o table": "unable to match a printer",
	} {
		streams, _, _, _ := genericiooptions.NewTestIOStreams()
		c := New(streams)
		c.SetArgs(strings.Fields(line))
		c.SilenceErrors, c.SilenceUsage = true, true
		if err := c.ExecuteContext(t.Context()); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

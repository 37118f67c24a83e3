package backup

import (
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
)

func TestPrintBackups(t *testing.T) {
	now := time.Unix(0, 0).Add(5 * time.Hour)
	for name, c := range map[string]struct {
		all  []upgrade.Backup
		want string
	}{
		"none":       {nil, "none\n"},
		"known":      {[]upgrade.Backup{{Name: "third", Node: "cp1", Made: time.Unix(0, 0).Add(3 * time.Hour), What: "etcd and all"}}, "NAME    NODE   AGE    WHAT\nthird   cp1    120m   etcd and all\n"},
		"not of age": {[]upgrade.Backup{{Name: "third", Node: "cp1", What: "broken"}}, "NAME    NODE   AGE   WHAT\nthird   cp1    ?     broken\n"},
	} {
		var out strings.Builder
		if err := printBackups(&out, c.all, "none", now); err != nil || out.String() != c.want {
			t.Errorf("%s: got %q, %v", name, out.String(), err)
		}
	}
}

package offsite

import (
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
)

// TestSlowLine: what is sent over a line of 100 kbit/s is a database as clusters have them, and ends before
// others take it for abandoned.
func TestSlowLine(t *testing.T) {
	const perSecond, database = 100_000 / 8, 512 << 20
	if takes := database / perSecond * time.Second; takes > Timeout {
		t.Errorf("it takes %v, and is ended after %v although it moves", takes, Timeout)
	}
	if Timeout+time.Hour > backup.TidyAfter {
		t.Errorf("after %v it is removed while it may be sent for %v", backup.TidyAfter, Timeout)
	}
}

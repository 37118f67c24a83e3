//go:build e2e && upgrade

package e2e

import (
	"testing"
)

// restore carries out docs/disaster-recovery.md.
func (w *withstand) restore(t *testing.T) {
	t.Skip("not yet")
}

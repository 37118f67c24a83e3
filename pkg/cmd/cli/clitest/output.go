// Package clitest has what tests of the commands need of package cli.
package clitest

import (
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// Output is what -o would be set to, of a command that has all formats but those of f's manifests.
func Output(t testing.TB, format string, f ...cli.Formats) cli.Output {
	t.Helper()
	formats := cli.Formats{Wide: "with all", Names: true}
	if len(f) > 0 {
		formats = f[0]
	}
	o, err := cli.ParseOutput(format, formats)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

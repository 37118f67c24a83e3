#!/bin/sh
# github.com/spf13/cobra v1.10.2: SetOut(os.Stdout) looks as if it changed nothing, since
# stdout is where a command's output goes anyway. But it moves the notice of a deprecated
# flag (pflag v1.0.10, MarkDeprecated) from stderr to stdout, also where SetErr(os.Stderr)
# was called. So a program that passes its streams on to cobra, as one does for tests, puts
# a line of prose before the JSON that "-o json" promises.
#
# One program is asked for JSON with a deprecated flag. Seen on its stdout:
#
#   SetErr alone:       {"kind":"List"}
#   SetOut and SetErr:  Flag --old has been deprecated, use --new {"kind":"List"}
#
# Exits with 1 when it prints otherwise. Needs Go; everything is in a temporary folder.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat > "$tmp/main.go" <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	cmd := &cobra.Command{Use: "get", Run: func(cmd *cobra.Command, _ []string) {
		fmt.Fprintln(cmd.OutOrStdout(), `{"kind":"List"}`)
	}}
	cmd.Flags().Bool("old", false, "")
	if err := cmd.Flags().MarkDeprecated("old", "use --new"); err != nil {
		panic(err)
	}
	cmd.SetErr(os.Stderr)
	if os.Args[1] == "out" {
		cmd.SetOut(os.Stdout)
	}
	cmd.SetArgs([]string{"--old"})
	if err := cmd.Execute(); err != nil {
		os.Exit(2)
	}
}
GO
cd "$tmp"
go mod init finding >/dev/null 2>&1
go get github.com/spf13/cobra@v1.10.2 github.com/spf13/pflag@v1.0.10 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go build -o get .
alone=$(./get err 2>"$tmp/stderr" | tr '\n' ' ')
both=$(./get out 2>/dev/null | tr '\n' ' ')
echo "SetErr alone:       $alone"
echo "SetOut and SetErr:  $both"
grep -q 'Flag --old has been deprecated' "$tmp/stderr"
[ "$alone" = '{"kind":"List"} ' ]
[ "$both" = 'Flag --old has been deprecated, use --new {"kind":"List"} ' ]

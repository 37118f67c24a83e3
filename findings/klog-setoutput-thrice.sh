#!/bin/sh
# k8s.io/klog/v2 v2.140.0: SetOutput "sets the output destination for all severities", and
# LogToStderr(false) makes it count. Then a line comes once for its own severity and once for
# each lower one, all to the same writer: a warning twice, an error three times. An error also
# goes to stderr, where SetOutput was to take the log away from. Who counts or parses the
# lines, or keeps a terminal's screen clean of them, needs -one_output and -stderrthreshold
# too. Seen:
#
#   info:    writer 1, stderr 0
#   warning: writer 2, stderr 0
#   error:   writer 3, stderr 1
#
# Exits with 1 when the counts are others. Needs Go; everything is in a temporary folder.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat > "$tmp/main.go" <<'GO'
package main

import (
	"os"

	"k8s.io/klog/v2"
)

func main() {
	klog.LogToStderr(false)
	klog.SetOutput(os.Stdout)
	klog.Info("said at info")
	klog.Warning("said at warning")
	klog.Error("said at error")
	klog.Flush()
}
GO
cd "$tmp"
go mod init finding >/dev/null 2>&1
go get k8s.io/klog/v2@v2.140.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go build -o program .
./program > writer 2> stderr
seen=$(for severity in info warning error; do
	printf '%-8s writer %d, stderr %d\n' "$severity:" "$(grep -c "said at $severity" writer || true)" "$(grep -c "said at $severity" stderr || true)"
done)
echo "$seen"
[ "$seen" = "info:    writer 1, stderr 0
warning: writer 2, stderr 0
error:   writer 3, stderr 1" ]

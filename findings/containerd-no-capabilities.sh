#!/bin/sh
# A hosts.toml of containerd that gives a registry host an empty list of capabilities gives
# it all of them. So containerd v2.4.2 (core/remotes/docker/config) can't be told
# "nothing from this host": taking the last entry out of the list makes of a mirror that
# may only be pulled from one that also resolves tags, and is pushed to.
#
# Asked is for the first host of registry.example, once by each list. Seen:
#
#   ["pull"]: pull=true resolve=false push=false
#   []:       pull=true resolve=true push=true
#
# Exits with 1 when it is so no longer. Needs Go; everything is in a temporary folder.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat > "$tmp/main.go" <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
)

func main() {
	root := os.Args[1]
	for _, list := range []string{`["pull"]`, `[]`} {
		dir := filepath.Join(root, "registry.example")
		check(os.MkdirAll(dir, 0o700))
		text := "[host.\"https://mirror.example\"]\n  capabilities = " + list + "\n"
		check(os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(text), 0o600))
		hosts, err := config.ConfigureHosts(context.Background(), config.HostOptions{HostDir: config.HostDirFromRoot(root)})("registry.example")
		check(err)
		can := hosts[0].Capabilities
		fmt.Printf("%-9s pull=%t resolve=%t push=%t\n", list+":", can.Has(docker.HostCapabilityPull),
			can.Has(docker.HostCapabilityResolve), can.Has(docker.HostCapabilityPush))
	}
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
}
GO
cd "$tmp"
go mod init finding >/dev/null 2>&1
go get github.com/containerd/containerd/v2@v2.4.2 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
seen=$(go run . "$tmp/certs.d")
echo "$seen"
[ "$seen" = '["pull"]: pull=true resolve=false push=false
[]:       pull=true resolve=true push=true' ]

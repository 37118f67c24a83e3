#!/bin/sh
# A YAML merge key (<<) behind a field: what kubectl reads is not what YAML 1.1's merge
# key says. sigs.k8s.io/yaml v1.6.0, which kubectl, kubeadm and client-go read with, lets
# the merged value replace the field that stands before it; go.yaml.in/yaml/v3 v3.0.6
# keeps the field, wherever it stands. A tool that lists the images of a manifest with
# the one, and has kubectl apply it with the other, lists an image that never runs.
# Seen: "sigs.k8s.io/yaml: merged" and "yaml/v3: own".
# Exits non-zero when that is so no longer. Needs Go and its module proxy.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > main.go <<'GO'
package main

import (
	"fmt"

	yaml3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

const text = "base: &base {image: merged}\ncontainer:\n  image: own\n  <<: *base\n"

func main() {
	var a, b struct {
		Container struct {
			Image string `json:"image" yaml:"image"`
		} `json:"container" yaml:"container"`
	}
	if err := yaml.Unmarshal([]byte(text), &a); err != nil {
		panic(err)
	}
	if err := yaml3.Unmarshal([]byte(text), &b); err != nil {
		panic(err)
	}
	fmt.Printf("sigs.k8s.io/yaml: %s\nyaml/v3: %s\n", a.Container.Image, b.Container.Image)
}
GO
cat > go.mod <<'MOD'
module finding

go 1.24

require (
	go.yaml.in/yaml/v3 v3.0.6
	sigs.k8s.io/yaml v1.6.0
)
MOD
export GOFLAGS=-mod=mod
go mod tidy >/dev/null 2>&1
got=$(go run .)
printf '%s\n' "$got"
[ "$got" = "sigs.k8s.io/yaml: merged
yaml/v3: own" ]

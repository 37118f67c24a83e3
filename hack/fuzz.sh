#!/bin/sh
# Runs every fuzzer of this module one after the other, and prints what
# `go test -json` does: fuzz.sh TAGS TIME. One that finds something keeps none of
# the others from running. Fuzzers are found, not listed: a new one is run as soon
# as it is there.
set -eu
tags=$1 time=$2
cd "$(dirname "$0")/.."
export CGO_ENABLED=0

# go test -list builds the tests of each package it is given, so only those are
# asked that can have some.
packages=$(grep -rl --include='*_test.go' '^func Fuzz' cmd pkg manifests hack test | xargs -n 1 dirname | sort -u)
failed=0
for package in $packages; do
	# What can't be built says so in the same form as a test that fails.
	if ! listed=$(go test -tags="$tags" -list '^Fuzz' "./$package" 2>&1); then
		go test -tags="$tags" -json -run '^$' "./$package" || failed=1
		continue
	fi
	for fuzzer in $(printf '%s\n' "$listed" | grep '^Fuzz'); do
		go test -tags="$tags" -json -run '^$' -fuzz "^$fuzzer\$" -fuzztime "$time" "./$package" || failed=1
	done
done
exit $failed

#!/bin/sh
# Checks that Go is there, and installs what building needs on Debian and
# Ubuntu. Says nothing when nothing is missing. What the lab needs beyond it,
# `bin/lab build` installs by itself.
set -eu

# The version in go.mod; an older Go from 1.21 on fetches it by itself.
want=$(sed -n 's/^go //p' "$(dirname "$0")/../go.mod")

missing=
for program in git make; do
	command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
[ -e /etc/ssl/certs/ca-certificates.crt ] || [ ! -e /etc/debian_version ] || missing="$missing ca-certificates"

if [ -z "$(command -v go)" ] && [ -x /usr/local/go/bin/go ]; then
	echo "Go is in /usr/local/go/bin, which is not on the PATH: export PATH=\$PATH:/usr/local/go/bin" >&2
	exit 1
fi
command -v go >/dev/null 2>&1 || missing="$missing golang-go"

if [ -n "$missing" ]; then
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "missing:$missing. This machine has no apt-get; install them and try again." >&2
		exit 1
	fi
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	echo "installing$missing" >&2
	export DEBIAN_FRONTEND=noninteractive
	$sudo apt-get update -q >/dev/null
	# Unquoted on purpose: a list of packages.
	$sudo apt-get install -q -y --no-install-recommends $missing >/dev/null
fi

# In a directory without a go.mod, so that an old Go tells its version instead of failing.
have=$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//')
minor=$(echo "$have" | cut -d. -f2 | sed 's/[^0-9].*//')
if [ "${minor:-0}" -lt 21 ]; then
	echo "Go $want or later is needed, this is ${have:-none}; take it from https://go.dev/dl/" >&2
	exit 1
fi
# From 1.21 on Go gets the wanted version through its module proxy, unless that is turned off.
if [ "${minor:-0}" -lt "$(echo "$want" | cut -d. -f2)" ] && [ "$(go env GOTOOLCHAIN)" = local ]; then
	echo "Go $want or later is needed, this is $have and GOTOOLCHAIN=local keeps it from fetching that." >&2
	echo "Either take it from https://go.dev/dl/, or: export GOTOOLCHAIN=auto" >&2
	exit 1
fi

#!/bin/sh
# Checks that Go is there, and installs what building and the unit tests need on
# Debian and Ubuntu. Says nothing when nothing is missing. What the lab needs beyond it,
# `bin/lab build` installs by itself. `setup.sh cgo` checks for a C compiler with its
# library's headers too: the race detector needs these, nothing else does.
#
# A Go that is too old to fetch the version in go.mod by itself (Debian 12's
# own) fetches that here as what it is for the Go module proxy, a module; its
# checksum is verified like any module's. It is kept in $GO_CACHE, whose
# current/bin the Makefile has on the PATH.
set -eu

want=$(sed -n 's/^go //p' "$(dirname "$0")/../go.mod")
cache=${GO_CACHE:-$HOME/.cache/kubectl-ha-go}
PATH=$cache/current/bin:$PATH
export PATH

fail() {
	printf '%s\n' "$@" >&2
	exit 1
}

# What the Go in the PATH is, in a directory without a go.mod, so that an old one tells it instead of failing.
have() { (cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//; s/[^0-9.].*//'); }

# at_least A B: A is B or later.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# Whether the Go in the PATH will do: it is new enough, or gets one that is by itself.
will_do() {
	command -v go >/dev/null 2>&1 || return 1
	at_least "$(have)" "$want" && return
	at_least "$(have)" 1.21 && [ "$(cd / && go env GOTOOLCHAIN)" != local ]
}

install_packages() {
	command -v apt-get >/dev/null 2>&1 || fail "missing:$missing. This machine has no apt-get; install them and try again."
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	echo "installing$missing" >&2
	$sudo apt-get update -q >/dev/null
	# Unquoted on purpose: a list of packages.
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >/dev/null
}

fetch_go() {
	echo "fetching Go $want through the module proxy, since this is ${1:-an unknown version}" >&2
	mkdir -p "$cache"
	tmp=$(mktemp -d "$cache/fetch.XXXXXX")
	# Modules are kept read-only.
	trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
	module=golang.org/toolchain@v0.0.1-go$want.$(go env GOOS)-$(go env GOARCH)
	(cd "$tmp" && GOTOOLCHAIN=local GOFLAGS= GOMODCACHE=$tmp/mod go mod download "$module") ||
		fail "Go $want could not be fetched (above); take it from https://go.dev/dl/ and put it on the PATH."
	chmod -R u+w "$tmp/mod/$module"
	# Modules have no executable files.
	chmod +x "$tmp/mod/$module"/bin/* "$tmp/mod/$module"/pkg/tool/*/*
	rm -rf "$cache/go$want"
	mv "$tmp/mod/$module" "$cache/go$want"
	ln -sfn "go$want" "$cache/current"
	hash -r # Forget where the old one is.
}

missing=
for program in git make; do
	command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
# Unit tests compare with OpenSSH's client and server; without these they are skipped.
command -v ssh >/dev/null 2>&1 || missing="$missing openssh-client"
command -v sshd >/dev/null 2>&1 || [ -x /usr/sbin/sshd ] || missing="$missing openssh-server"
[ -e /etc/ssl/certs/ca-certificates.crt ] || [ ! -e /etc/debian_version ] || missing="$missing ca-certificates"
if [ -z "$(command -v go)" ] && [ -x /usr/local/go/bin/go ]; then
	fail "Go is in /usr/local/go/bin, which is not on the PATH: export PATH=\$PATH:/usr/local/go/bin"
fi
command -v go >/dev/null 2>&1 || missing="$missing golang-go"
if [ "${1:-}" = cgo ] && ! echo '#include <stdlib.h>' | "${CC:-gcc}" -E -o /dev/null - 2>/dev/null; then
	[ -z "${CC:-}" ] || fail "The compiler that \$CC names, $CC, does not compile C."
	missing="$missing gcc libc6-dev"
fi
[ -z "$missing" ] || install_packages

will_do || fetch_go "$(have)"
will_do || fail "Go $want or later is needed, this is $(have); take it from https://go.dev/dl/"

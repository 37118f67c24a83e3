#!/bin/sh
# github.com/relex/aini v1.6.0 says of itself that it follows Ansible's parser
# as closely as possible; ansible-core (Debian 12: 2.14.18) means something
# else by the same valid inventory.
#
# A host is in the groups "a" and "z"; "a" is within "deep". Ansible lets deeper
# groups decide, so a variable that both set is a's; aini merges groups by
# name, so it is z's. And aini reads no files without an extension in
# group_vars, which Ansible does. Seen:
#
#   ansible-inventory: who=a   file=read
#   aini:              who=z   file=
#
# Exits with 1 when either says something else. Needs Go, python3 and Debian's
# apt-get; everything is unpacked into a temporary folder.
set -eu
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
mkdir -p "$tmp/inv/group_vars"
printf '[a]\nm1\n[z]\nm1\n[deep:children]\na\n[a:vars]\nwho=a\n[z:vars]\nwho=z\n' > "$tmp/inv/hosts"
echo 'file: read' > "$tmp/inv/group_vars/all"
cat > "$tmp/main.go" <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/relex/aini"
)

func main() {
	i, err := aini.ParseFile(os.Args[1] + "/hosts")
	if err == nil {
		err = i.AddVars(os.Args[1])
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	fmt.Printf("who=%s file=%s\n", i.Hosts["m1"].Vars["who"], i.Hosts["m1"].Vars["file"])
}
GO
cd "$tmp"
go mod init finding >/dev/null 2>&1
go get github.com/relex/aini@v1.6.0 >/dev/null 2>&1
apt-get download ansible-core=2.14.18-0+deb12u2 python3-yaml python3-jinja2 python3-markupsafe python3-packaging python3-resolvelib >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
library=$(go run . "$tmp/inv")
real=$(PYTHONPATH="$tmp/root/usr/lib/python3/dist-packages" HOME=$tmp ANSIBLE_NOCOLOR=1 python3 root/usr/bin/ansible-inventory -i "$tmp/inv/hosts" --host m1 | tr -d ' ",{}' | sort -r | tr '\n' ' ')
echo "aini:              $library"
echo "ansible-inventory: $real"
[ "$library" = "who=z file=" ] && case $real in *who:a*file:read*) exit 0 ;; esac
exit 1

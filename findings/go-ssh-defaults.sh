#!/bin/sh
# golang.org/x/crypto/ssh v0.58.0 tells which algorithms have security issues
# (InsecureAlgorithms) and which have none (SupportedAlgorithms). A client whose config sets
# no lists does not offer the latter: it also offers some of the former. So "the defaults" are
# weaker than the library's own advice, and a client that wants to keep to that has to
# fill in the lists itself. Host key algorithms are not part of SetDefaults, so printing the
# config does not show them; the first packet of the connection does.
#
# A client with an empty config connects to a listener that reads its offer. Seen of
# InsecureAlgorithms in it:
#
#   key exchange: diffie-hellman-group14-sha1
#   host key:     ssh-rsa-cert-v01@openssh.com ssh-dss-cert-v01@openssh.com ssh-rsa ssh-dss
#   cipher:
#   MAC:          hmac-sha1-96
#
# Exits with 1 when the offer is another. Needs Go; everything is in a temporary folder.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat > "$tmp/main.go" <<'GO'
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// offer is the client's first packet (RFC 4253, 7.1), as far as it is needed.
type offer struct {
	Cookie       [16]byte `sshtype:"20"`
	KeyExchanges []string
	HostKeys     []string
	Ciphers      []string
	CiphersBack  []string
	MACs         []string
	Rest         []byte `ssh:"rest"`
}

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() {
		// The listener never answers the offer, so the error is of no interest.
		_, _ = ssh.Dial("tcp", l.Addr().String(), &ssh.ClientConfig{HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	}()
	c, err := l.Accept()
	check(err)
	check(c.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(c, "SSH-2.0-finding\r\n")
	check(err)
	r := bufio.NewReader(c)
	_, err = r.ReadString('\n')
	check(err)
	var head [5]byte
	_, err = io.ReadFull(r, head[:])
	check(err)
	packet := make([]byte, binary.BigEndian.Uint32(head[:4])-1)
	_, err = io.ReadFull(r, packet)
	check(err)
	var o offer
	check(ssh.Unmarshal(packet[:len(packet)-int(head[4])], &o))
	bad := ssh.InsecureAlgorithms()
	show("key exchange:", o.KeyExchanges, bad.KeyExchanges)
	show("host key:", o.HostKeys, bad.HostKeys)
	show("cipher:", o.Ciphers, bad.Ciphers)
	show("MAC:", o.MACs, bad.MACs)
}

func show(what string, offered, bad []string) {
	var both []string
	for _, name := range offered {
		if slices.Contains(bad, name) {
			both = append(both, name)
		}
	}
	fmt.Println(strings.TrimRight(fmt.Sprintf("%-13s %s", what, strings.Join(both, " ")), " "))
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
go get golang.org/x/crypto@v0.58.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
seen=$(go run .)
echo "$seen"
[ "$seen" = "key exchange: diffie-hellman-group14-sha1
host key:     ssh-rsa-cert-v01@openssh.com ssh-dss-cert-v01@openssh.com ssh-rsa ssh-dss
cipher:
MAC:          hmac-sha1-96" ]

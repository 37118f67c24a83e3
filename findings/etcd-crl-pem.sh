#!/bin/sh
# etcd's --client-crl-file and --peer-crl-file: up to 3.5 a list in PEM is read, from 3.6 on
# only one in DER is. Nothing is said when etcd starts; the file is read at each handshake,
# and with a list in PEM (what "openssl ca -gencrl" writes) each client and each peer is then
# refused. So a cluster on 3.5 that has such a list loses every client with the member that
# is upgraded to 3.6. The flag's description names no form.
#
# A listener of go.etcd.io/etcd/client/pkg/v3/transport, as etcd itself opens it, gets a
# list that revokes nothing, and a client with a certificate of the CA connects. Seen:
#
#   v3.5.35 PEM: opened, client served
#   v3.5.35 DER: opened, client served
#   v3.6.16 PEM: opened, client refused: x509: malformed crl
#   v3.6.16 DER: opened, client served
#   v3.7.3 PEM: opened, client refused: x509: malformed crl
#   v3.7.3 DER: opened, client served
#
# Exits with 1 when it is so no longer. Needs Go 1.26; everything is in a temporary folder.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat > "$tmp/main.go" <<'GO'
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
)

func main() {
	now := time.Now()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	check(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "member"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
	check(err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	check(err)
	write("ca.crt", "CERTIFICATE", caDER)
	write("tls.crt", "CERTIFICATE", leafDER)
	write("tls.key", "EC PRIVATE KEY", keyDER)
	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: ca.NotBefore, NextUpdate: ca.NotAfter}, ca, key)
	check(err)
	write("crl.PEM", "X509 CRL", crl)
	check(os.WriteFile("crl.DER", crl, 0o600))

	pair, err := tls.LoadX509KeyPair("tls.crt", "tls.key")
	check(err)
	roots := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(caDER)
	check(err)
	roots.AddCert(parsed)
	for _, form := range []string{"PEM", "DER"} {
		refused := make(chan error, 1)
		info := &transport.TLSInfo{
			CertFile: "tls.crt", KeyFile: "tls.key", TrustedCAFile: "ca.crt", ClientCertAuth: true, CRLFile: "crl." + form,
			HandshakeFailure: func(_ *tls.Conn, err error) { refused <- err },
		}
		l, err := transport.NewListener("127.0.0.1:0", "https", info)
		check(err)
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = io.WriteString(c, "served")
				_ = c.Close()
			}
		}()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}})
		check(err)
		check(c.SetDeadline(now.Add(time.Minute)))
		answer, _ := io.ReadAll(c)
		if said := string(answer); said == "served" {
			fmt.Println(form + ": opened, client served")
		} else {
			fmt.Printf("%s: opened, client refused: %v\n", form, <-refused)
		}
		_ = c.Close()
		_ = l.Close()
	}
}

func write(name, kind string, der []byte) {
	check(os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
}
GO
seen=$(for version in v3.5.35 v3.6.16 v3.7.3; do
	mkdir "$tmp/$version"
	cp "$tmp/main.go" "$tmp/$version"
	cd "$tmp/$version"
	go mod init finding >/dev/null 2>&1
	go get "go.etcd.io/etcd/client/pkg/v3@$version" >/dev/null 2>&1
	go mod tidy >/dev/null 2>&1
	go run . | sed "s/^/$version /"
done)
echo "$seen"
[ "$seen" = "v3.5.35 PEM: opened, client served
v3.5.35 DER: opened, client served
v3.6.16 PEM: opened, client refused: x509: malformed crl
v3.6.16 DER: opened, client served
v3.7.3 PEM: opened, client refused: x509: malformed crl
v3.7.3 DER: opened, client served" ]

#!/bin/sh
# kubeadm v1.36.3 asks another API server than v1.35.4 by the same command and files.
#
# `kubeadm init phase upload-certs` of 1.35 talks to the server that /etc/kubernetes/admin.conf
# names. From 1.36 on it talks to localAPIEndpoint of the InitConfiguration, whatever that file
# says; only where another kubeconfig is named with --kubeconfig, that one's server is asked still.
# Whoever runs the phase with a configuration that was written for another control plane asks that
# one, and when it has no API server, kubeadm asks until its time is up. Seen:
#
#   v1.35.4 asked the server of admin.conf
#   v1.36.3 asked the localAPIEndpoint
#
# Exits with 1 when either asks another one. Needs Go, root (for a chroot, in which admin.conf has
# its usual place) and some minutes to build two kubeadms; everything is in a temporary folder.
set -eu
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
build() { # VERSION
	mkdir -p "$tmp/$1"
	cd "$tmp/$1"
	go mod init finding >/dev/null 2>&1
	# kubernetes' own go.mod replaces these by folders that are not in the module.
	for m in $(cd "$(go mod download -json "k8s.io/kubernetes@v1.$1" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')" && sed -n 's#^[[:space:]]*\(k8s.io/[a-z-]*\) => ./staging.*#\1#p' go.mod); do
		go mod edit -replace "$m=$m@v0.$1"
	done
	go mod edit -require "k8s.io/kubernetes@v1.$1"
	printf 'package main\n\nimport (\n\t"fmt"\n\t"os"\n\n\t"k8s.io/kubernetes/cmd/kubeadm/app"\n)\n\nfunc main() {\n\tif err := app.Run(); err != nil {\n\t\tfmt.Println(err)\n\t\tos.Exit(1)\n\t}\n}\n' >main.go
	go mod tidy >/dev/null 2>&1
	CGO_ENABLED=0 go build -o "$tmp/kubeadm-$1" .
}
build 35.4
build 36.3
mkdir "$tmp/look"
cd "$tmp/look"
cat >main.go <<'GO'
// Program look runs kubeadm with two ports that accept connections, and tells which is asked.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	dir, kubeadm, version := os.Args[1], os.Args[2], os.Args[3]
	asked := make(chan string, 100)
	listen := func(address, name string) string {
		l, err := net.Listen("tcp", address)
		if err != nil {
			panic(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				asked <- name
				_ = c.Close()
			}
		}()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return port
	}
	inAdminConf := listen("127.0.0.1:0", "the server of admin.conf")
	// kubeadm takes no loopback address for one to advertise.
	own := address()
	local := listen(net.JoinHostPort(own, "0"), "the localAPIEndpoint")
	// What kubeadm sees as /.
	root := filepath.Join(dir, "root-"+version)
	must(os.MkdirAll(filepath.Join(root, "etc/kubernetes"), 0o700))
	must(os.MkdirAll(filepath.Join(root, "pki"), 0o700))
	must(os.MkdirAll(filepath.Join(root, "tmp"), 0o700))
	program, err := os.ReadFile(kubeadm)
	must(err)
	must(os.WriteFile(filepath.Join(root, "kubeadm"), program, 0o700))
	kubeconfig, config := filepath.Join(root, "etc/kubernetes/admin.conf"), filepath.Join(root, "init.yaml")
	must(os.WriteFile(kubeconfig, []byte("apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: 'https://127.0.0.1:"+inAdminConf+"', insecure-skip-tls-verify: true}}]\nusers: [{name: a, user: {}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n"), 0o600))
	must(os.WriteFile(config, []byte("apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nlocalAPIEndpoint: {advertiseAddress: '"+own+"', bindPort: "+local+"}\nnodeRegistration: {name: node, criSocket: unix:///run/containerd/containerd.sock}\ntimeouts: {kubernetesAPICall: 3s}\n---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1."+version+"\ncertificatesDir: /pki\n"), 0o600))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/kubeadm", "init", "phase", "upload-certs", "--upload-certs", "--config", "/init.yaml")
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Chroot: root}, "/"
	out, err := cmd.CombinedOutput() // Nobody answers, so that it fails.
	select {
	case name := <-asked:
		fmt.Printf("v1.%s asked %s\n", version, name)
	default:
		fmt.Printf("v1.%s asked nobody: %v\n%s\n", version, err, out)
	}
}

// address is one of this machine's that is not loopback.
func address() string {
	all, err := net.InterfaceAddrs()
	must(err)
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	panic("this machine has no address")
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
GO
go mod init look >/dev/null 2>&1
go build -o look .
seen=$(./look "$tmp" "$tmp/kubeadm-35.4" 35.4 && ./look "$tmp" "$tmp/kubeadm-36.3" 36.3)
echo "$seen"
[ "$seen" = "v1.35.4 asked the server of admin.conf
v1.36.3 asked the localAPIEndpoint" ]

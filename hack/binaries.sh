#!/bin/sh
# Prints, as assignments for env(1), where the lab has built the real programs
# that the integration tests run: binaries.sh KUBERNETES_VERSION. Tests whose
# program is not named are skipped, so what is not built is left out.
# binaries.sh proxies: haproxy and nginx, whose tests want the machine for themselves.
set -eu
build=${LAB_CACHE:-$HOME/.cache/kubectl-ha-lab}/build

# The newest build of a component: found NAME PREFIX PROGRAM
found() {
	for dir in $(ls -dt "$build/$2"*/ 2>/dev/null); do
		case $dir in *.part/) continue ;; esac # it is being built
		if [ -x "$dir/bin/$3" ]; then
			echo "$1=${dir}bin/$3"
			return
		fi
	done
}

if [ "$1" = proxies ]; then
	found HAPROXY proxy-programs- haproxy
	found NGINX proxy-programs- nginx
	exit
fi
found KUBE_APISERVER "kubernetes-$1-" kube-apiserver
found KUBE_CONTROLLER_MANAGER "kubernetes-$1-" kube-controller-manager
found KUBE_SCHEDULER "kubernetes-$1-" kube-scheduler
found KUBELET "kubernetes-$1-" kubelet
found KUBEADM "kubernetes-$1-" kubeadm
found KUBECTL "kubernetes-$1-" kubectl
found ETCD etcd-v3.6. etcd
found ETCD_OLDER etcd-v3.5. etcd
found ETCD_NEWER etcd-v3.7. etcd
found CONTAINERD containerd- containerd
keepalived=$(command -v keepalived || true)
[ -z "$keepalived" ] || echo "KEEPALIVED=$keepalived"

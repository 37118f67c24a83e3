#!/usr/bin/env bash
# The floor of `make bench-upgrade`: an expert's script of the same kubeadm commands
# and drains. It brings images and binaries to all nodes side by side, then takes one
# node after the other and waits for it. Nothing is backed up or checked, no address
# moves away before its apiserver goes, and nothing can be resumed.
#
# From the environment:
#   ARTIFACTS  folder with bin.tar (usr/local/bin, opt/cni/bin), images-node.tar, images-cp.tar, kubectl
#   HOSTS      "name=address ..." of all hosts, control planes first
#   CPS        how many of them are control planes
#   KEY KNOWN_HOSTS VERSION KUBECTL KUBECONFIG
set -euo pipefail
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT
SSH=(-i "$KEY" -o UserKnownHostsFile="$KNOWN_HOSTS" -o BatchMode=yes -o ControlMaster=auto -o ControlPath="$W/%C" -o ControlPersist=900)
read -ra ALL <<<"$HOSTS"; CP=("${ALL[@]:0:$CPS}"); WORKERS=("${ALL[@]:$CPS}")
on() { local a=$1; shift; ssh "${SSH[@]}" "root@$a" "$@"; }
say() { printf '%6.1fs %s\n' "$(bc <<<"$(date +%s.%N) - $T0")" "$*"; }
all_of() { local p rc=0; for p in "$@"; do wait "$p" || rc=1; done; return $rc; }
T0=$(date +%s.%N)

bring() { # address, control-plane?: binaries beside those that run, and the images
  on "$1" 'mkdir -p /root/new; tar -C /root/new -xf -' <"$ARTIFACTS/bin.tar"
  on "$1" '/usr/local/bin/ctr -n k8s.io images import --digests=false - >/dev/null 2>&1' <"$ARTIFACTS/images-node.tar"
  if [ "$2" = 1 ]; then on "$1" '/usr/local/bin/ctr -n k8s.io images import --digests=false - >/dev/null 2>&1' <"$ARTIFACTS/images-cp.tar"; fi
}

swap() { # name address: the binaries, and a kubelet that is Ready at the version
  on "$2" 'cd /root/new/usr/local/bin && for b in kubeadm kubectl kubelet; do cp $b /usr/local/bin/.$b && mv /usr/local/bin/.$b /usr/local/bin/$b; done; systemctl restart kubelet'
  "$KUBECTL" wait "node/$1" --for="jsonpath={.status.nodeInfo.kubeletVersion}=$VERSION" --timeout=180s >/dev/null
  "$KUBECTL" wait "node/$1" --for=condition=Ready --timeout=180s >/dev/null
}

upgrade() { # name address, kubeadm's arguments
  local name=$1 a=$2; shift 2
  on "$a" "/root/new/usr/local/bin/kubeadm upgrade $* --ignore-preflight-errors=all" >"$W/$name.log" 2>&1 || { cat "$W/$name.log"; return 1; }
}

pids=()
for h in "${CP[@]}"; do bring "${h#*=}" 1 & pids+=($!); done
for h in "${WORKERS[@]}"; do bring "${h#*=}" 0 & pids+=($!); done
all_of "${pids[@]}"; say "content on all nodes"
first=1
for h in "${CP[@]}"; do
  if [ $first = 1 ]; then upgrade "${h%=*}" "${h#*=}" apply "$VERSION" --yes; else upgrade "${h%=*}" "${h#*=}" node; fi
  first=0
  say "${h%=*}: kubeadm"
  swap "${h%=*}" "${h#*=}"
  until on "${h#*=}" "KUBECONFIG=/etc/kubernetes/admin.conf kubectl --server https://${h#*=}:6443 get --raw /readyz" >/dev/null 2>&1; do
    ((SECONDS < 1800)) || { echo "no apiserver on $h" >&2; exit 1; }; sleep 0.2
  done
  say "${h%=*}: ready"
done
for h in "${WORKERS[@]}"; do
  "$KUBECTL" drain "${h%=*}" --ignore-daemonsets --delete-emptydir-data --timeout=300s >/dev/null 2>&1
  upgrade "${h%=*}" "${h#*=}" node
  swap "${h%=*}" "${h#*=}"
  "$KUBECTL" uncordon "${h%=*}" >/dev/null
  say "${h%=*}: ready"
done

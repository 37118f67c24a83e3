#!/usr/bin/env bash
# The floor of `make bench`: the best script that an expert would write for the
# same hosts and the same artifacts. Everything that can run side by side does;
# nothing is checked, nothing can be resumed, and it trusts every host.
#
# From the environment:
#   ARTIFACTS  folder with bin.tar (usr/local/bin, opt/cni/bin), images-node.tar, images-cp.tar, flannel.yaml
#   HOSTS      "name=address ..." of all hosts, control planes first
#   CPS        how many of them are control planes
#   VIP KEY KNOWN_HOSTS VERSION SANDBOX KUBECTL
set -euo pipefail
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT
SSH=(-i "$KEY" -o UserKnownHostsFile="$KNOWN_HOSTS" -o BatchMode=yes -o ControlMaster=auto -o ControlPath="$W/%C" -o ControlPersist=300)
read -ra ALL <<<"$HOSTS"; CP=("${ALL[@]:0:$CPS}"); FIRST=${CP[0]#*=}
on() { local a=$1; shift; ssh "${SSH[@]}" "root@$a" "$@"; }
say() { printf '%6.1fs %s\n' "$(bc <<<"$(date +%s.%N) - $T0")" "$*"; }
T0=$(date +%s.%N)
join_by() { local IFS=,; echo "$*"; }

# etcd's certificates: one for all members, an expert in a hurry.
certs() {
  openssl ecparam -genkey -name prime256v1 -out "$W/ca.key" 2>/dev/null
  openssl req -x509 -new -key "$W/ca.key" -subj /CN=etcd-ca -days 3650 -out "$W/ca.crt"
  local sans="IP:127.0.0.1"; for h in "${CP[@]}"; do sans+=",IP:${h#*=},DNS:${h%=*}"; done
  openssl ecparam -genkey -name prime256v1 -out "$W/etcd.key" 2>/dev/null
  openssl req -new -key "$W/etcd.key" -subj /CN=etcd -out "$W/etcd.csr"
  openssl x509 -req -in "$W/etcd.csr" -CA "$W/ca.crt" -CAkey "$W/ca.key" -CAcreateserial -days 365 -out "$W/etcd.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth' "$sans") 2>/dev/null
}

units() {
  mkdir -p "$W/root/etc/systemd/system/kubelet.service.d" "$W/root/etc/containerd" "$W/root/etc/sysctl.d"
  cat >"$W/root/etc/containerd/config.toml" <<X
version = 3
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '$SANDBOX'
X
  cat >"$W/root/etc/systemd/system/containerd.service" <<X
[Service]
ExecStart=/usr/local/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
[Install]
WantedBy=multi-user.target
X
  cat >"$W/root/etc/systemd/system/kubelet.service" <<X
[Unit]
After=containerd.service
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/local/bin/kubelet \$KUBELET_KUBECONFIG_ARGS \$KUBELET_CONFIG_ARGS \$KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
X
  tar -C "$W/root" -cf "$W/units.tar" .
}

prepare() { # name=address control-plane? priority: binaries, units; then etcd, keepalived and all images side by side
  local a=${1#*=} pids=()
  on "$a" 'tar -C / -xf -' <"$W/units.tar" # opens the connection that the others share
  on "$a" 'tar -C / -xf -' <"$ARTIFACTS/bin.tar"
  if [ "$2" = 1 ]; then etcd "$1" & pids+=($!); vip "$1" "$3" & pids+=($!); fi
  on "$a" 'echo 1 >/proc/sys/net/ipv4/ip_forward; systemctl daemon-reload; systemctl enable -q kubelet; systemctl enable -q --now containerd'
  import "$a" node & pids+=($!)
  if [ "$2" = 1 ]; then import "$a" cp & pids+=($!); fi
  all_of "${pids[@]}"
}

import() { on "$1" '/usr/local/bin/ctr -n k8s.io images import --digests=false - >/dev/null 2>&1' <"$ARTIFACTS/images-$2.tar"; }

all_of() { local p rc=0; for p in "$@"; do wait "$p" || rc=1; done; return $rc; }

etcd() { # name=address
  local n=${1%=*} a=${1#*=} all=(); for h in "${CP[@]}"; do all+=("${h%=*}=https://${h#*=}:2380"); done
  on "$a" 'mkdir -p /etc/etcd /etc/kubernetes/pki; tar -C /etc/etcd -xf -' < <(tar -C "$W" -cf - ca.crt etcd.crt etcd.key)
  on "$a" "cat >/etc/systemd/system/etcd.service" <<X
[Service]
Type=simple
Restart=always
ExecStart=/usr/local/bin/etcd --name $n --data-dir /var/lib/etcd --listen-peer-urls https://$a:2380 --initial-advertise-peer-urls https://$a:2380 --listen-client-urls https://$a:2379,https://127.0.0.1:2379 --advertise-client-urls https://$a:2379 --initial-cluster $(join_by "${all[@]}") --cert-file /etc/etcd/etcd.crt --key-file /etc/etcd/etcd.key --trusted-ca-file /etc/etcd/ca.crt --client-cert-auth --peer-cert-file /etc/etcd/etcd.crt --peer-key-file /etc/etcd/etcd.key --peer-trusted-ca-file /etc/etcd/ca.crt --peer-client-cert-auth
[Install]
WantedBy=multi-user.target
X
  on "$a" 'systemctl daemon-reload; systemctl enable -q --now etcd'; touch "$W/etcd-$n"
}

vip() { # name=address priority
  local a=${1#*=} peers=""; for h in "${CP[@]}"; do if [ "$h" != "$1" ]; then peers+=$'\n    '"${h#*=}"; fi; done
  on "$a" "cat >/etc/keepalived/keepalived.conf; systemctl restart keepalived" <<X
global_defs { vrrp_version 3 }
vrrp_instance VI {
  state BACKUP
  interface eth0
  virtual_router_id 51
  priority $2
  advert_int 0.2
  unicast_src_ip $a
  unicast_peer {$peers
  }
  virtual_ipaddress { $VIP/24 }
}
X
}

TOKEN=$(openssl rand -hex 3).$(openssl rand -hex 8); CERTKEY=$(openssl rand -hex 32)
config() { # the settings of this kind of host, then what differs
  local eps=(); for h in "${CP[@]}"; do eps+=("https://${h#*=}:2379"); done
  cat <<X
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: $FIRST}
nodeRegistration: {name: ${CP[0]%=*}, criSocket: "unix:///run/containerd/containerd.sock", ignorePreflightErrors: [all]}
bootstrapTokens: [{token: $TOKEN}]
certificateKey: "$CERTKEY"
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $VERSION
controlPlaneEndpoint: $VIP:6443
networking: {podSubnet: 10.244.0.0/16}
etcd: {external: {endpoints: [$(join_by "${eps[@]}")], caFile: /etc/etcd/ca.crt, certFile: /etc/etcd/etcd.crt, keyFile: /etc/etcd/etcd.key}}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
failSwapOn: false
resolvConf: /etc/resolv.lab
evictionHard: {nodefs.available: 0%, imagefs.available: 0%}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
conntrack: {maxPerCore: 0}
X
}

init() {
  config >"$W/init.yaml"; on "$FIRST" 'cat >/root/init.yaml' <"$W/init.yaml"
  on "$FIRST" 'kubeadm init --config /root/init.yaml --upload-certs' >"$W/init.log" 2>&1 || { cat "$W/init.log"; return 1; }
  on "$FIRST" 'cat /etc/kubernetes/admin.conf' >"$W/admin.conf"
  HASH=$(on "$FIRST" 'openssl x509 -pubkey -in /etc/kubernetes/pki/ca.crt | openssl pkey -pubin -outform der | openssl dgst -sha256 -hex' | sed 's/^.* //')
}

join() { # name=address control-plane?
  local n=${1%=*} a=${1#*=} cp=""
  if [ "$2" = 1 ]; then cp="controlPlane: {localAPIEndpoint: {advertiseAddress: $a}, certificateKey: \"$CERTKEY\"}"; fi
  on "$a" 'cat >/root/join.yaml; kubeadm join --config /root/join.yaml' >"$W/join-$n.log" 2>&1 <<X || { cat "$W/join-$n.log"; return 1; }
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery: {bootstrapToken: {token: $TOKEN, apiServerEndpoint: "$VIP:6443", caCertHashes: ["sha256:$HASH"]}}
nodeRegistration: {name: $n, criSocket: "unix:///run/containerd/containerd.sock", ignorePreflightErrors: [all]}
$cp
X
}

certs; units
declare -A PREPARED
i=0; for h in "${ALL[@]}"; do
  cp=0; if ((i < CPS)); then cp=1; fi
  prepare "$h" $cp $((200 - i)) & PREPARED[$h]=$!
  i=$((i + 1))
done
wait "${PREPARED[${CP[0]}]}"; say "first host prepared"
for h in "${CP[@]}"; do
  until [ -e "$W/etcd-${h%=*}" ]; do ((SECONDS < 900)) || { echo "no etcd on $h" >&2; exit 1; }; sleep 0.1; done
done; say "etcd"
init; say "kubeadm init"
export KUBECONFIG=$W/admin.conf
"$KUBECTL" apply -f "$ARTIFACTS/flannel.yaml" >/dev/null & pids=($!)
i=0; for h in "${ALL[@]}"; do
  if ((i > 0)); then cp=0; if ((i < CPS)); then cp=1; fi
    # `wait` takes only children of this shell, so the wait comes first.
    wait "${PREPARED[$h]}"; join "$h" $cp & pids+=($!)
  fi; i=$((i + 1))
done
all_of "${pids[@]}"; say "joins"
"$KUBECTL" -n kube-system scale deployment coredns --replicas="$CPS" >/dev/null
"$KUBECTL" wait --for=condition=Ready nodes --all --timeout=180s >/dev/null; say "nodes ready"
"$KUBECTL" -n kube-system rollout status deployment coredns --timeout=180s >/dev/null; say "CoreDNS available"

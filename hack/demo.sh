#!/bin/sh
# Builds the lab, starts bare hosts, makes a cluster of them with the product,
# and says how to look around: demo.sh NAME KUBERNETES_VERSION
set -eu
name=$1 version=$2
cd "$(dirname "$0")/.."
state=${LAB_CACHE:-$HOME/.cache/kubectl-ha-lab}/demo-$name
mkdir -p "$state"

bin/lab build --kubernetes "$version"
bin/lab up --name "$name" --control-planes 3 --workers 1
bin/lab config --name "$name" --kubernetes-version "$version" >"$state/cluster.yaml"
bin/kubectl-ha bootstrap -f "$state/cluster.yaml" --kubeconfig-out "$state/kubeconfig" --yes

cat <<END

The cluster is made. To look around:

  bin/lab kubectl --name $name -- --kubeconfig $state/kubeconfig get nodes,operations
  bin/kubectl-ha operation list --kubeconfig $state/kubeconfig
  bin/lab exec --name $name cp1 -- journalctl -u keepalived
  bin/lab stop --name $name cp1        # and see that the API stays
  bin/lab down --name $name            # when you have seen enough
END

package bootstrap

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// versions: the cluster runs what the file says. A bootstrap would otherwise replace
// programs on nodes that pods run on, without any of what makes an upgrade safe, or
// take them back over a version that has written into etcd; and it would write the
// file's version into the cluster, from which nodes that join later are made.
func (k *checker) versions() {
	want := k.c.Spec.KubernetesVersion
	others, hosts := map[string]bool{}, []string{}
	servers := map[string]bool{}
	for _, h := range k.seen() {
		s := k.o[h.Name].Facts.State
		if !k.ours(h.Name) || !s.Joined {
			continue
		}
		other := ""
		if s.APIServerVersion != "" {
			servers[s.APIServerVersion] = true
		}
		for _, v := range []string{s.KubeletVersion, s.APIServerVersion} {
			if v != "" && v != want {
				others[v], other = true, v
			}
		}
		if other != "" {
			hosts = append(hosts, h.Name)
		}
	}
	if len(others) == 0 {
		return
	}
	runs, verb := slices.Sorted(maps.Keys(others)), "run"
	if len(hosts) == 1 {
		verb = "runs"
	}
	k.err("", "version", versionHint(want, runs, servers), "the Cluster file says Kubernetes %s, but %s %s %s", want, andList(hosts), verb, andList(runs))
}

// versionHint says what to do about hosts that run other versions than the file's.
func versionHint(want string, runs []string, servers map[string]bool) string {
	switch {
	case len(runs) == 1 && !servers[want]:
		return fmt.Sprintf("write kubernetesVersion: %s into the Cluster file; to go to another version run kubectl ha upgrade VERSION", runs[0])
	case len(servers) == 1:
		return fmt.Sprintf("bring the other nodes to %s with kubectl ha upgrade %s", want, want)
	}
	return "an upgrade was not finished: kubectl ha operation list shows it, kubectl ha upgrade " + want + " goes on with it"
}

// etcdArgs: the etcd that the bundle brings knows its further flags. The Cluster file
// alone often does not tell which version that is.
func (k *checker) etcdArgs() {
	if k.in.Contents == nil {
		return
	}
	errs, warnings := v1alpha1.CheckEtcdArgs(k.c.Spec.Etcd.ExtraArgs, k.in.Contents.EtcdVersion)
	for _, e := range errs {
		k.err("", "etcd-arguments", "see the flags of etcd "+k.in.Contents.EtcdVersion+", which the bundle brings", "%v", e)
	}
	for _, w := range warnings {
		k.warn("", "etcd-arguments", "", "%v", w)
	}
}

// andList joins words as one says them.
func andList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// Package ready says what objects of a cluster wait for until they are what their spec wants:
// workloads by kstatus (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus),
// pods and nodes by their condition Ready, and nodes by their lease too, since the condition of
// a node that just died is still good.
//
// What it says is for people, and empty when nothing is waited for. It reads objects and asks
// no API.
package ready

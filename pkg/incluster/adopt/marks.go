package adopt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
)

// marked are what Operations put annotations on, besides nodes.
var marked = []Object{
	{schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, metav1.NamespaceSystem, "kube-proxy"},
	{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}, metav1.NamespaceSystem, "kube-proxy"},
	{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, metav1.NamespaceSystem, "coredns"},
}

// Unmark takes kubectl-ha's annotations and labels off what stays: nodes, kube-proxy and CoreDNS.
// Those of their pods stay, since taking them off would restart the pods.
func Unmark(ctx context.Context, c *client.Clients) error {
	nodes, err := c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	all := marked
	for _, n := range nodes.Items {
		all = append(all[:len(all):len(all)], Object{schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, "", n.Name})
	}
	var errs []error
	for _, o := range all {
		if err := unmark(ctx, c, o); err != nil {
			errs = append(errs, fmt.Errorf("take kubectl ha's annotations off %s: %w", o, err))
		}
	}
	return errors.Join(errs...)
}

// unmark does so for one object. One that is not there is as it should be.
func unmark(ctx context.Context, c *client.Clients, o Object) error {
	u, err := at(c.Dynamic, o).Get(ctx, o.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	patch := marks(u.GetAnnotations(), u.GetLabels())
	if patch == "" {
		return nil
	}
	_, err = at(c.Dynamic, o).Patch(ctx, o.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// marks is the patch that takes kubectl-ha's annotations and labels off an object; empty when it
// has none. It is pure.
func marks(annotations, labels map[string]string) string {
	ours := func(all map[string]string) map[string]any {
		out := map[string]any{}
		for key := range all {
			if strings.HasPrefix(key, v1alpha1.Group+"/") {
				out[key] = nil
			}
		}
		return out
	}
	metadata := map[string]any{}
	for field, all := range map[string]map[string]any{"annotations": ours(annotations), "labels": ours(labels)} {
		if len(all) > 0 {
			metadata[field] = all
		}
	}
	if len(metadata) == 0 {
		return ""
	}
	// Of maps of strings, which can always be encoded.
	raw, _ := json.Marshal(map[string]any{"metadata": metadata})
	return string(raw)
}

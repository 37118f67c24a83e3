package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

const (
	// FieldManager owns the fields of addons' objects.
	FieldManager = "kubectl-ha-addon"
	// configurationAnnotation is on pods that read ConfigMaps or Secrets of their
	// addon; it changes with them, and so makes new pods.
	configurationAnnotation = v1alpha1.Group + "/configuration"
)

// factsOf are the facts for an Operation. The image is that of the coordinators, of which
// this is one, and so is the architecture.
func factsOf(t engine.Turn) (addon.Facts, error) {
	agents, err := t.Operation.Agents()
	if err != nil {
		return addon.Facts{}, err
	}
	f := addon.Facts{Cluster: t.Cluster, AgentImage: agents.Image(), AgentArch: runtime.GOARCH}
	if len(agents) > 0 && agents[0].Arch != "" {
		f.AgentArch = agents[0].Arch
	}
	return f, nil
}

// applyAddon applies one addon's objects and removes those of an earlier version
// that it has no more.
func applyAddon(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	item, err := itemOf(t.Env, subject(t))
	if err != nil {
		return engine.Outcome{}, err
	}
	a, err := unpack(ctx, t.Env, item)
	if err != nil {
		return engine.Outcome{}, err
	}
	facts, err := factsOf(t)
	if err != nil {
		return engine.Outcome{}, err
	}
	objects, err := a.Render(facts, item.Variants)
	if err != nil {
		return engine.Outcome{}, err
	}
	secrets, err := certificateSecrets(ctx, t, a)
	if err != nil {
		return engine.Outcome{}, err
	}
	objects = insertSecrets(objects, secrets)
	if err := stamp(objects); err != nil {
		return engine.Outcome{}, err
	}
	objects, err = own(ctx, t.Clients, a.Descriptor.Name, objects)
	if err != nil {
		return engine.Outcome{}, err
	}
	before, err := readInventory(ctx, t.Clients.Kube, item.Name)
	if err != nil {
		return engine.Outcome{}, err
	}
	after := inventoryOf(a, item, objects)
	var gone []Object
	intent := *after
	if before != nil {
		gone = without(before.Objects, after.Objects)
		intent.Objects = union(after.Objects, before.Objects)
	}
	// Before anything is made, so that nothing is that nobody knows of.
	if err := writeInventory(ctx, t.Clients.Kube, &intent); err != nil {
		return engine.Outcome{}, err
	}
	changed, err := apply.Apply(ctx, t.Clients, objects, apply.Options{Manager: FieldManager})
	if err != nil {
		return engine.Outcome{}, err
	}
	if err := remove(ctx, t, item.Name, gone, false); err != nil {
		return engine.Outcome{}, err
	}
	return engine.Outcome{Message: told(len(changed), len(gone))}, writeInventory(ctx, t.Clients.Kube, after)
}

func told(changed, gone int) string {
	if changed+gone == 0 {
		return "nothing to change"
	}
	text := fmt.Sprintf("%d objects written", changed)
	if gone > 0 {
		text += fmt.Sprintf(", %d removed that it has no more", gone)
	}
	return text
}

func inventoryOf(a *addon.Addon, item v1alpha1.AddonItem, objects []*unstructured.Unstructured) *Inventory {
	d := a.Descriptor
	inv := &Inventory{Name: d.Name, Version: d.Version, Variants: sorted(item.Variants), For: item.For, Needs: d.Needs, Digest: item.Digest,
		State: Installing, KubeletCertificates: d.KubeletCertificates, Health: d.Health}
	for _, u := range objects {
		inv.Objects = append(inv.Objects, objectOf(u))
	}
	return inv
}

// insertSecrets puts Secrets behind the namespaces, before what reads them.
func insertSecrets(objects, secrets []*unstructured.Unstructured) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	rest := 0
	for rest < len(objects) && objects[rest].GetKind() == "Namespace" {
		rest++
	}
	out = append(out, objects[:rest]...)
	out = append(out, secrets...)
	return append(out, objects[rest:]...)
}

// Foreign is an error when there is something in an addon's place that it did not make.
func Foreign(ctx context.Context, c *client.Clients, name string, objects []*unstructured.Unstructured) error {
	_, err := own(ctx, c, name, objects)
	return err
}

// own leaves out namespaces that were there before, and refuses other objects
// that were: whoever made them would lose them with the addon.
func own(ctx context.Context, c *client.Clients, name string, objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	var mine []*unstructured.Unstructured
	var errs []error
	for _, u := range objects {
		have, err := get(ctx, c, objectOf(u))
		switch {
		case err != nil:
			return nil, err
		case have == nil || have.GetLabels()[addon.Label] == name:
			mine = append(mine, u)
		case u.GetKind() == "Namespace":
		case have.GetLabels()[addon.Label] != "":
			errs = append(errs, fmt.Errorf("%s is the addon %s's", objectOf(u), have.GetLabels()[addon.Label]))
		default:
			errs = append(errs, fmt.Errorf("%s is there already, and no addon made it", objectOf(u)))
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w\nnext: take away what was installed otherwise, or leave this addon out; an object that is to be the addon's gets the label %s=%s",
			errors.Join(errs...), addon.Label, name)
	}
	return mine, nil
}

// stamp gives the pods of each workload the digest of the ConfigMaps and Secrets
// of this addon that they mount.
func stamp(objects []*unstructured.Unstructured) error {
	content := map[string][]byte{}
	for _, u := range objects {
		if k := u.GetKind(); k != "ConfigMap" && k != "Secret" {
			continue
		}
		data, err := json.Marshal([]any{u.Object["data"], u.Object["binaryData"], u.Object["stringData"]})
		if err != nil {
			return err
		}
		content[u.GetKind()+"/"+u.GetNamespace()+"/"+u.GetName()] = data
	}
	for _, u := range objects {
		volumes, found, err := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "volumes")
		if !found || err != nil {
			continue // It has no pods, or pods without volumes.
		}
		sum, reads := sha256.New(), false
		for _, v := range volumes {
			for _, key := range mounted(v, u.GetNamespace()) {
				if data, ok := content[key]; ok {
					reads = true
					sum.Write([]byte(key))
					sum.Write(data)
				}
			}
		}
		if !reads {
			continue
		}
		if err := unstructured.SetNestedField(u.Object, hex.EncodeToString(sum.Sum(nil))[:16],
			"spec", "template", "metadata", "annotations", configurationAnnotation); err != nil {
			return fmt.Errorf("%s: %w", objectOf(u), err)
		}
	}
	return nil
}

// mounted are the ConfigMap and the Secret of a volume.
func mounted(volume any, namespace string) []string {
	v, ok := volume.(map[string]any)
	if !ok {
		return nil
	}
	var out []string
	if name, found, err := unstructured.NestedString(v, "configMap", "name"); found && err == nil {
		out = append(out, "ConfigMap/"+namespace+"/"+name)
	}
	if name, found, err := unstructured.NestedString(v, "secret", "secretName"); found && err == nil {
		out = append(out, "Secret/"+namespace+"/"+name)
	}
	return out
}

// resource is where an object is; nil when the cluster has no such kind.
func resource(c *client.Clients, o Object) (dynamic.ResourceInterface, error) {
	ri, err := apply.Resource(c, o.empty())
	if meta.IsNoMatchError(err) {
		// A kind that was added since is known after another look.
		c.Mapper.Reset()
		if ri, err = apply.Resource(c, o.empty()); meta.IsNoMatchError(err) {
			return nil, nil
		}
	}
	return ri, err
}

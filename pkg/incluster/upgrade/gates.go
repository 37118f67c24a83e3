package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/flagtable"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// A version drops feature gates of features that are there to stay or to go, and locks
// them before. kubeadm's upgrade tells its log of one of its own and leaves it where it
// is; every join fails then. A component that is given one does not start.

// gatePlaces are the documents in ConfigMaps of kube-system that have feature gates.
var gatePlaces = []gatePlace{
	{"kubeadm-config", "ClusterConfiguration", true},
	{"kubelet-config", "kubelet", false},
	{"kube-proxy", "config.conf", false},
}

type gatePlace struct {
	config, key string
	// kubeadm says that featureGates are kubeadm's own, not the components'.
	kubeadm bool
}

func (p gatePlace) String() string { return p.config }

// Gate is a feature gate that a version refuses.
type Gate struct {
	// Place is the ConfigMap, or the Cluster document, with the field.
	Place string
	Name  string
	// Problem says what is wrong with it.
	Problem string
	// Stuck says that it can't be taken out there.
	Stuck bool
}

// observeGates are the documents that have feature gates, by their ConfigMap's name. A
// cluster without one of them has none in it.
func observeGates(ctx context.Context, kube kubernetes.Interface) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range gatePlaces {
		m, err := kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, p.config, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read configmap %s/%s: %w", metav1.NamespaceSystem, p.config, err)
		}
		out[p.config] = m.Data[p.key]
	}
	return out, nil
}

// refusedGates are the gates, in what was observed and in the stored document, that a
// version refuses. It is pure.
func refusedGates(c *v1alpha1.Cluster, version string, documents map[string]string) ([]Gate, error) {
	var out []Gate
	for _, p := range gatePlaces {
		_, found, err := p.without(documents[p.config], version)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	// A copy: this only looks.
	own := &v1alpha1.Cluster{}
	raw, err := json.Marshal(c.Spec.Kubeadm)
	if err == nil {
		err = json.Unmarshal(raw, &own.Spec.Kubeadm)
	}
	if err != nil {
		return nil, fmt.Errorf("spec.kubeadm of the Cluster document: %w", err)
	}
	found, err := withoutOwn(own, version)
	return append(out, found...), err
}

// without takes what a version refuses out of a document. The text is the same when
// nothing is.
func (p gatePlace) without(text, version string) (string, []Gate, error) {
	doc := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return "", nil, fmt.Errorf("%s can't be read: %w", p, err)
	}
	found := cutGates(p.String(), doc, p.kubeadm, version)
	if len(found) == 0 {
		return text, nil, nil
	}
	out, err := yaml.Marshal(doc)
	return string(out), found, err
}

// withoutOwn does the same to what the Cluster document hands through to kubeadm.
func withoutOwn(c *v1alpha1.Cluster, version string) ([]Gate, error) {
	k := c.Spec.Kubeadm
	var out []Gate
	for _, part := range []struct {
		name    string
		raw     v1alpha1.RawMap
		kubeadm bool
	}{
		{"clusterConfiguration", k.ClusterConfiguration, true}, {"initConfiguration", k.InitConfiguration, false},
		{"joinConfiguration", k.JoinConfiguration, false}, {"kubeletConfiguration", k.KubeletConfiguration, false},
		{"kubeProxyConfiguration", k.KubeProxyConfiguration, false},
	} {
		out = append(out, cutGates("spec.kubeadm."+part.name, part.raw, part.kubeadm, version)...)
	}
	for _, name := range slices.Sorted(maps.Keys(k.Patches)) {
		text, found, err := cutPatch(name, k.Patches[name], version)
		if err != nil {
			return nil, err
		}
		if k.Patches[name] = text; len(found) > 0 {
			out = append(out, found...)
		}
	}
	return out, nil
}

// cutGates takes the gates out of one document: of its featureGates, and of all lists
// of arguments in it.
func cutGates(place string, doc map[string]any, kubeadm bool, version string) []Gate {
	known := flagtable.ComponentGates()
	if kubeadm {
		known = flagtable.KubeadmGates()
	}
	var out []Gate
	if gates, ok := doc["featureGates"].(map[string]any); ok {
		for _, name := range slices.Sorted(maps.Keys(gates)) {
			on, _ := gates[name].(bool)
			// null takes one out, in a patch.
			if why := refused(known, version, name, on); why != "" && gates[name] != nil {
				delete(gates, name)
				out = append(out, Gate{Place: place + ".featureGates", Name: name, Problem: why})
			}
		}
		if len(gates) == 0 {
			delete(doc, "featureGates")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(doc)) {
		if part, ok := doc[key].(map[string]any); ok && key != "featureGates" {
			out = append(out, cutArguments(place+"."+key, part, version)...)
		}
	}
	return out
}

// cutArguments takes the gates out of a part's lists of arguments.
func cutArguments(place string, part map[string]any, version string) []Gate {
	var out []Gate
	for _, list := range []string{"extraArgs", "kubeletExtraArgs"} {
		args, _ := part[list].([]any)
		if args == nil {
			continue
		}
		kept := []any{}
		for _, item := range args {
			arg, _ := item.(map[string]any)
			value, _ := arg["value"].(string)
			gates, err := flagtable.ParseGates(value)
			if arg["name"] != "feature-gates" || err != nil {
				kept = append(kept, item)
				continue
			}
			before := len(gates)
			for _, name := range slices.Sorted(maps.Keys(gates)) {
				if why := refused(flagtable.ComponentGates(), version, name, gates[name]); why != "" {
					delete(gates, name)
					out = append(out, Gate{Place: place + "." + list, Name: name, Problem: why})
				}
			}
			if len(gates) < before {
				arg["value"] = flagtable.FormatGates(gates)
			}
			if len(gates) > 0 || before == 0 {
				kept = append(kept, item)
			}
		}
		part[list] = kept
	}
	return out
}

// refused says why a version does not take a gate; empty when it does, or when it is
// not known here.
func refused(known flagtable.Gates, version, name string, on bool) string {
	if p := known.Check(flagtable.Minor(version), name, on); !p.Newer && !p.Untold {
		return p.Message
	}
	return ""
}

// checkGates names them. They are in the way until they are to be removed.
func checkGates(c *v1alpha1.Cluster, spec *v1alpha1.UpgradeSpec, o Observation) []Finding {
	if _, err := parse(spec.Version); err != nil {
		return nil // Skew has said so.
	}
	all, err := refusedGates(c, spec.Version, o.Gates)
	if err != nil {
		return []Finding{{Check: CheckGates, Blocks: true, Message: err.Error()}}
	}
	var out []Finding
	for _, g := range all {
		f := Finding{Check: CheckGates, Blocks: g.Stuck || !spec.RemoveFeatureGates, Message: g.Place + ": " + g.Problem}
		if g.Stuck {
			f.Hint = "it is in more than a setting and can't be taken out by itself: kubectl -n " + v1alpha1.SystemNamespace + " edit configmap " + v1alpha1.ClusterConfigMap
		} else if spec.RemoveFeatureGates {
			f.Message += "; " + g.Name + " is removed there"
			f.Hint = "remove it from your Cluster file as well"
		} else {
			f.Hint = "--remove-feature-gates takes it out"
		}
		out = append(out, f)
	}
	return out
}

// removesGates tells whether the plan has that step.
func (p *planner) removesGates(o Observation) bool {
	if !p.spec.RemoveFeatureGates {
		return false
	}
	all, err := refusedGates(p.c, p.spec.Version, o.Gates)
	return err == nil && len(all) > 0 // What can't be read blocks the preflight.
}

// removeGates takes the gates out of kubeadm's ConfigMaps, and out of the stored
// Cluster document, of which the configuration of joins is made. What runs keeps its
// own until its turn; the version that runs does without a gate as well.
func removeGates(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	version := t.Operation.Spec.Upgrade.Version
	var names []string
	for _, p := range gatePlaces {
		found, err := p.remove(ctx, t.Clients.Kube, version)
		if err != nil {
			return engine.Outcome{}, err
		}
		for _, g := range found {
			names = append(names, g.Name+" of "+g.Place)
		}
	}
	var unread error
	_, err := document.Change(ctx, t.Clients.Kube, func(c *v1alpha1.Cluster) *v1alpha1.Cluster {
		var found []Gate
		if found, unread = withoutOwn(c, version); len(found) == 0 || unread != nil {
			return nil
		}
		for _, g := range found {
			names = append(names, g.Name+" of "+g.Place)
		}
		return c
	})
	if err := errors.Join(err, unread); err != nil {
		return engine.Outcome{}, err
	}
	if len(names) == 0 {
		return engine.Outcome{Message: "already up to date"}, nil
	}
	return engine.Outcome{Message: "removed " + strings.Join(names, ", ") + "; remove them from your Cluster file as well"}, nil
}

func (p gatePlace) remove(ctx context.Context, kube kubernetes.Interface, version string) ([]Gate, error) {
	api := kube.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	var m *corev1.ConfigMap
	m, err := api.Get(ctx, p.config, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configmap %s/%s: %w", metav1.NamespaceSystem, p.config, err)
	}
	text, found, err := p.without(m.Data[p.key], version)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	m.Data[p.key] = text
	if _, err := api.Update(ctx, m, metav1.UpdateOptions{FieldManager: apply.FieldManager}); err != nil {
		return nil, fmt.Errorf("write configmap %s/%s: %w", m.Namespace, m.Name, err)
	}
	return found, nil
}

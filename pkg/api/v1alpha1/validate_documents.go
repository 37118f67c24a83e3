package v1alpha1

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	kubeproxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	kjson "sigs.k8s.io/json"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/flagtable"
)

// document finds fields that kubeadm would drop with a warning in its log, and
// values that the component would refuse.
// https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/
func (v *validator) document(at, name string, raw RawMap) {
	if raw == nil {
		return
	}
	kind := strings.ToUpper(name[:1]) + name[1:]
	bad := v.fields(at, kind, raw)
	switch name {
	case "kubeletConfiguration":
		v.decode(at, raw, &kubeletv1beta1.KubeletConfiguration{}, bad)
	case "kubeProxyConfiguration":
		v.decode(at, raw, &kubeproxyv1alpha1.KubeProxyConfiguration{}, bad)
	}
	gates := flagtable.ComponentGates()
	if name == "clusterConfiguration" {
		gates = flagtable.KubeadmGates()
	}
	v.gates(at+".featureGates", raw["featureGates"], gates)
}

// fields compares with the fields of the cluster's version; it returns the paths of
// those that are reported.
func (v *validator) fields(at, kind string, raw RawMap) (bad []string) {
	for _, p := range flagtable.FieldsOf(kind).Check(flagtable.Minor(v.c.Spec.KubernetesVersion), raw) {
		if p.Path == "apiVersion" || p.Path == "kind" {
			continue // reported as ours
		}
		v.told(at+"."+p.Path, p.Problem)
		bad = append(bad, p.Path)
	}
	return bad
}

var (
	unknownInType = regexp.MustCompile(`^unknown field "(.*)"$`)
	wrongInType   = regexp.MustCompile(`cannot unmarshal (\S+) into Go struct field \S+ of type (\S+)`)
	fieldInType   = regexp.MustCompile(`Go struct field [^ .]+\.(\S+) of type`)
)

// decode reads into the real type, which knows more than the table: units, lists of
// words, what is within maps. Fields that were reported are left alone, and one that
// only an older or newer version knows.
func (v *validator) decode(at string, raw RawMap, into any, reported []string) {
	data, err := json.Marshal(raw)
	if err != nil {
		v.fail(at, "%v", err)
		return
	}
	strict, err := kjson.UnmarshalStrict(data, into)
	if err != nil {
		place := at
		message := err.Error()
		if m := fieldInType.FindStringSubmatch(message); m != nil {
			if slices.Contains(reported, m[1]) {
				return
			}
			place += "." + m[1]
		}
		if m := wrongInType.FindStringSubmatch(message); m != nil {
			message = fmt.Sprintf("is a %s, must be %s", m[1], m[2])
		}
		v.fail(place, "%s", message)
		return
	}
	for _, problem := range strict {
		m := unknownInType.FindStringSubmatch(problem.Error())
		if m == nil {
			v.fail(at, "%v", problem)
		} else if !slices.ContainsFunc(reported, func(r string) bool { return r == m[1] || strings.HasPrefix(m[1], r+".") }) {
			v.fail(at+"."+m[1], "there is no such field")
		}
	}
}

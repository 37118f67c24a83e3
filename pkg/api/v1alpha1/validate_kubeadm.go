package v1alpha1

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"unicode"
)

// reserved are the fields of a foreign document that kubectl-ha sets itself,
// with the field to use instead, or "" when there is no choice.
var reserved = map[string]map[string]string{
	"clusterConfiguration": {
		"clusterName": "metadata.name", "kubernetesVersion": "spec.kubernetesVersion",
		"controlPlaneEndpoint": "spec.virtualIP and spec.apiServerPort",
		"etcd":                 "spec.etcd", "certificatesDir": "",
		"imageRepository":      "spec.images.registry",
		"networking.podSubnet": "spec.network.podSubnet", "networking.serviceSubnet": "spec.network.serviceSubnet",
		"networking.dnsDomain": "spec.network.dnsDomain", "apiServer.certSANs": "spec.extraSANs",
	},
	"initConfiguration": {
		"bootstrapTokens": "", "certificateKey": "", "localAPIEndpoint": "spec.hosts[].address and spec.apiServerPort",
		"nodeRegistration.name": "spec.hosts[].name", "nodeRegistration.criSocket": "",
		"nodeRegistration.ignorePreflightErrors": "spec.kubeadm.ignorePreflightErrors", "patches": "spec.kubeadm.patches",
	},
	"joinConfiguration": {
		"discovery": "", "controlPlane": "", "caCertPath": "",
		"nodeRegistration.name": "spec.hosts[].name", "nodeRegistration.criSocket": "",
		"nodeRegistration.ignorePreflightErrors": "spec.kubeadm.ignorePreflightErrors", "patches": "spec.kubeadm.patches",
	},
	"kubeletConfiguration": {
		"cgroupDriver": "", "staticPodPath": "", "containerRuntimeEndpoint": "",
		"clusterDomain": "spec.network.dnsDomain", "clusterDNS": "spec.network.serviceSubnet",
	},
	"kubeProxyConfiguration": {
		"clusterCIDR": "spec.network.podSubnet", "clientConnection.kubeconfig": "", "hostnameOverride": "",
	},
}

// patchFileName is the syntax of kubeadm's patch files: target[suffix][+type].extension.
var patchFileName = regexp.MustCompile(
	`^(kube-apiserver|kube-controller-manager|kube-scheduler|etcd|kubeletconfiguration|corednsdeployment)[A-Za-z0-9-]*(\+(strategic|merge|json))?\.(json|yaml)$`)

// PatchFile reads the name of one of kubeadm's patch files: the target (a component,
// kubeletconfiguration or corednsdeployment), and the kind of the patch (strategic,
// merge or json). ok is false for what is none.
func PatchFile(name string) (target, kind string, ok bool) {
	m := patchFileName.FindStringSubmatch(name)
	if m == nil {
		return "", "", false
	}
	kind = strings.TrimPrefix(m[2], "+")
	if kind == "" {
		kind = "strategic"
	}
	return m[1], kind, true
}

func (v *validator) kubeadm() {
	k := v.c.Spec.Kubeadm
	for _, part := range []struct {
		name string
		raw  RawMap
	}{
		{"clusterConfiguration", k.ClusterConfiguration}, {"initConfiguration", k.InitConfiguration},
		{"joinConfiguration", k.JoinConfiguration}, {"kubeletConfiguration", k.KubeletConfiguration},
		{"kubeProxyConfiguration", k.KubeProxyConfiguration},
	} {
		at := "spec.kubeadm." + part.name
		for _, field := range []string{"apiVersion", "kind"} {
			if _, set := part.raw[field]; set {
				v.fail(at+"."+field, "is set by kubectl ha; remove it")
			}
		}
		v.reservedFields(at, part.raw, reserved[part.name])
		v.document(at, part.name, part.raw)
		v.extraArgs(at, map[string]any(part.raw), 0)
	}
	for i, check := range k.IgnorePreflightErrors {
		if check == "" || strings.ContainsAny(check, " ,") {
			v.fail(fmt.Sprintf("spec.kubeadm.ignorePreflightErrors[%d]", i), "%q: one check's name per entry", check)
		}
	}
	for _, name := range sortedKeys(k.Patches) {
		at := "spec.kubeadm.patches[" + name + "]"
		switch {
		case !patchFileName.MatchString(name):
			v.fail(at, "is no kubeadm patch file; name it like kube-apiserver0+merge.yaml")
		case strings.HasPrefix(name, "etcd") && !v.c.Stacked():
			v.warn(at, "has no effect: etcd is not run by kubeadm; use spec.etcd.extraArgs")
		default:
			v.patch(at, name, k.Patches[name])
		}
	}
}

func (v *validator) reservedFields(at string, raw RawMap, fields map[string]string) {
	for _, field := range sortedKeys(fields) {
		var value any = map[string]any(raw)
		present := true
		for _, key := range strings.Split(field, ".") {
			m, ok := value.(map[string]any)
			if !ok {
				present = false
				break
			}
			if value, present = m[key]; !present {
				break
			}
		}
		if !present {
			continue
		}
		if instead := fields[field]; instead != "" {
			v.fail(at+"."+field, "is set by kubectl ha; use %s instead", instead)
		} else {
			v.fail(at+"."+field, "is set by kubectl ha and can't be changed; remove it")
		}
	}
}

// extraArgs checks that argument lists are kubeadm v1beta4's lists of name and
// value; until v1beta3 they were maps, and kubeadm's own error is hard to read.
func (v *validator) extraArgs(at string, value any, depth int) {
	m, ok := value.(map[string]any)
	if !ok || depth > 3 {
		return
	}
	for _, key := range sortedKeys(m) {
		if key != "extraArgs" && key != "kubeletExtraArgs" {
			v.extraArgs(at+"."+key, m[key], depth+1)
			continue
		}
		list, ok := m[key].([]any)
		if !ok {
			v.fail(at+"."+key, "must be a list of name and value (kubeadm v1beta4): - {name: v, value: \"4\"}")
			continue
		}
		for i, item := range list {
			arg, _ := item.(map[string]any)
			name, okName := arg["name"].(string)
			_, okValue := arg["value"].(string)
			if !okName || !okValue || len(arg) != 2 || !flagName.MatchString(name) {
				v.fail(fmt.Sprintf("%s.%s[%d]", at, key, i), "must have name (a flag without dashes) and value, both text (numbers in quotes)")
				continue
			}
			v.componentFlag(fmt.Sprintf("%s.%s[%d]", at, key, i), componentAt(at, key), name, arg["value"].(string))
		}
	}
}

// controlCharacters refuses line breaks and the like in every text that ends in
// a configuration file on a host: one more line there is one more setting.
func (v *validator) controlCharacters() {
	v.walkText("metadata", reflect.ValueOf(v.c.Metadata))
	v.walkText("spec", reflect.ValueOf(v.c.Spec))
}

func (v *validator) walkText(path string, value reflect.Value) {
	switch value.Kind() {
	case reflect.Pointer:
		if !value.IsNil() {
			v.walkText(path, value.Elem())
		}
	case reflect.Struct:
		for i := range value.NumField() {
			name, _, _ := strings.Cut(value.Type().Field(i).Tag.Get("json"), ",")
			if name == "manifestContent" || path == "spec.kubeadm" {
				continue // documents of their own
			}
			v.walkText(path+"."+name, value.Field(i))
		}
	case reflect.Slice:
		for i := range value.Len() {
			v.walkText(fmt.Sprintf("%s[%d]", path, i), value.Index(i))
		}
	case reflect.Map:
		for _, key := range value.MapKeys() {
			v.walkText(path, key)
			v.walkText(path, value.MapIndex(key))
		}
	case reflect.String:
		if strings.ContainsFunc(value.String(), unicode.IsControl) {
			v.fail(path, "contains a line break or another control character")
		}
	}
}

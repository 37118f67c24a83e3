package v1alpha1

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// patch looks into one of kubeadm's patch files: what can't be read ends kubeadm on a
// host that was changed already, a misspelt field is lost, and an argument in it is
// as good as one in extraArgs.
func (v *validator) patch(at, file, content string) {
	target, kind, _ := PatchFile(file)
	if strings.TrimSpace(content) == "" {
		v.fail(at, "is empty")
		return
	}
	// kubeadm takes several documents of one file.
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(content)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		var data []byte
		if err == nil {
			data, err = yaml.YAMLToJSONStrict(document)
		}
		if err != nil {
			v.fail(at, "can't be read: %v", err)
			return
		}
		if string(data) != "null" { // There are only comments.
			v.patchDocument(at, target, kind, data)
		}
	}
}

func (v *validator) patchDocument(at, target, kind string, data []byte) {
	if kind == "json" {
		v.jsonPatch(at, target, data)
		return
	}
	object := map[string]any{}
	if err := json.Unmarshal(data, &object); err != nil {
		v.fail(at, "must be fields (name: value) of the %s", targetKind(target))
		return
	}
	if named, ok := object["kind"]; ok && named != targetKind(target) {
		v.fail(at, "is a patch of the %s, and its kind is %v; remove the kind", targetKind(target), named)
		return
	}
	clean, _ := withoutDirectives(object).(map[string]any)
	switch target {
	case "kubeletconfiguration":
		v.kubeletPatch(at, clean)
	case "corednsdeployment":
		v.strict(at, clean, &appsv1.Deployment{})
	default:
		if v.strict(at, clean, &corev1.Pod{}) {
			v.podArguments(at, target, clean)
		}
	}
}

func targetKind(target string) string {
	switch target {
	case "kubeletconfiguration":
		return "KubeletConfiguration"
	case "corednsdeployment":
		return "Deployment"
	}
	return "Pod"
}

// kubeletPatch treats a patch as what spec.kubeadm.kubeletConfiguration has.
func (v *validator) kubeletPatch(at string, object map[string]any) {
	delete(object, "apiVersion")
	delete(object, "kind")
	v.reservedFields(at, object, reserved["kubeletConfiguration"])
	v.document(at, "kubeletConfiguration", object)
}

// strict decodes into the real type.
func (v *validator) strict(at string, object map[string]any, into any) bool {
	data, err := json.Marshal(object)
	if err != nil {
		v.fail(at, "%v", err)
		return false
	}
	problems, err := kjson.UnmarshalStrict(data, into)
	if err != nil {
		problems = append(problems, err)
	}
	for _, p := range problems {
		v.fail(at, "%v", p)
	}
	return len(problems) == 0
}

// podArguments looks at the command of the component's own container.
func (v *validator) podArguments(at, target string, object map[string]any) {
	spec, _ := object["spec"].(map[string]any)
	containers, _ := spec["containers"].([]any)
	for i, c := range containers {
		container, _ := c.(map[string]any)
		if container["name"] != target {
			continue
		}
		for _, field := range []string{"command", "args"} {
			list, _ := container[field].([]any)
			v.arguments(fmt.Sprintf("%s.spec.containers[%d].%s", at, i, field), target, list, field == "command")
		}
	}
}

// arguments looks at the words of a command line. A value may be the word after its
// flag.
func (v *validator) arguments(at, component string, list []any, whole bool) {
	for i, word := range list {
		text, _ := word.(string)
		if !strings.HasPrefix(text, "--") {
			continue
		}
		next := ""
		if i+1 < len(list) {
			next, _ = list[i+1].(string)
		}
		if next != "" && !strings.HasPrefix(next, "-") && !strings.Contains(text, "=") {
			text += "=" + next
		}
		v.argument(fmt.Sprintf("%s[%d]", at, i), component, text, whole)
	}
}

// argument checks one word of a command line: --name=value. A patch that replaces the
// whole command has to repeat what kubeadm sets, so that is no reason to refuse it.
func (v *validator) argument(at, component, word string, whole bool) {
	name, value, given := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	if !given {
		value = "true"
	}
	if _, own := ownFlags[component][name]; own && whole {
		return
	}
	v.componentFlag(at, component, name, value)
}

var jsonPatchOps = []string{"add", "remove", "replace", "move", "copy", "test"}

var (
	commandPath  = regexp.MustCompile(`^/spec/containers/[0-9]+/(command|args)/`)
	wholeCommand = regexp.MustCompile(`^/spec/containers/[0-9]+/(command|args)$`)
)

// jsonPatch looks at a list of operations (RFC 6902).
func (v *validator) jsonPatch(at, target string, data []byte) {
	var ops []struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		From  string `json:"from"`
		Value any    `json:"value"`
	}
	strict, err := kjson.UnmarshalStrict(data, &ops)
	if err != nil {
		v.fail(at, "must be a list of operations (op, path, value): %v", err)
		return
	}
	for _, p := range strict {
		v.fail(at, "%v", p)
	}
	for i, op := range ops {
		place := fmt.Sprintf("%s[%d]", at, i)
		v.oneOf(place+".op", op.Op, jsonPatchOps...)
		if !strings.HasPrefix(op.Path, "/") {
			v.fail(place+".path", "%q must begin with /", op.Path)
			continue
		}
		word, isText := op.Value.(string)
		list, isList := op.Value.([]any)
		switch {
		case target == "kubeletconfiguration" && (op.Op == "add" || op.Op == "replace"):
			if object := nested(op.Path, op.Value); object != nil {
				v.kubeletPatch(place, object)
			}
		case isText && commandPath.MatchString(op.Path) && strings.HasPrefix(word, "--"):
			v.argument(place, target, word, false)
		case isList && wholeCommand.MatchString(op.Path) && target != "corednsdeployment":
			v.arguments(place+".value", target, list, true)
		}
	}
}

// nested is the object that an operation at a path makes; nil for one within a list.
func nested(path string, value any) map[string]any {
	keys := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i := len(keys) - 1; i >= 0; i-- {
		key := strings.NewReplacer("~1", "/", "~0", "~").Replace(keys[i])
		if key == "-" || strings.Trim(key, "0123456789") == "" {
			return nil
		}
		value = map[string]any{key: value}
	}
	object, _ := value.(map[string]any)
	return object
}

// withoutDirectives leaves out what is for the merge and no field: $patch,
// $retainKeys, $setElementOrder/…, $deleteFromPrimitiveList/….
// https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
func withoutDirectives(value any) any {
	switch value := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, inner := range value {
			if !strings.HasPrefix(key, "$") {
				out[key] = withoutDirectives(inner)
			}
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i, inner := range value {
			out[i] = withoutDirectives(inner)
		}
		return out
	default:
		return value
	}
}

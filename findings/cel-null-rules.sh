#!/bin/sh
# A ClusterRole without rules is valid (one that only aggregates others is written so). To an
# expression of a ValidatingAdmissionPolicy its "rules" is there and null: neither absent nor
# an empty list. So has(object.rules) is true, and the usual guard before all() or exists()
# guards nothing: the expression is an error, and with the default failurePolicy, Fail, the
# API server refuses the ClusterRole. A Pod's list that was left out is absent.
#
# Asked is the compiler of admission expressions in k8s.io/apiserver v0.37.2. Seen:
#
#   Pod: has(object.spec.initContainers): false
#   ClusterRole: has(object.rules): true
#   ClusterRole: object.rules == null: true
#   ClusterRole: !has(object.rules) || object.rules.all(r, true): error: got 'types.Null', expected iterable type
#
# Exits with 1 when it is so no longer. Needs Go 1.26; everything is in a temporary folder.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat > "$tmp/main.go" <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/google/cel-go/cel"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	plugin "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

type expression string

func (e expression) GetExpression() string  { return string(e) }
func (expression) ReturnTypes() []*cel.Type { return []*cel.Type{cel.BoolType} }

func main() {
	role := &rbacv1.ClusterRole{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"}}
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}}
	show(pod, "has(object.spec.initContainers)")
	show(role, "has(object.rules)")
	show(role, "object.rules == null")
	show(role, "!has(object.rules) || object.rules.all(r, true)")
}

// show prints what the expression makes of an object that is to be created.
func show(o runtime.Object, text string) {
	kind := o.GetObjectKind().GroupVersionKind()
	evaluator := plugin.NewConditionCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())).
		CompileCondition([]plugin.ExpressionAccessor{expression(text)}, plugin.OptionalVariableDeclarations{}, environment.NewExpressions)
	for _, err := range evaluator.CompilationErrors() {
		check(err)
	}
	attributes := &admission.VersionedAttributes{
		Attributes:      admission.NewAttributesRecord(o, nil, kind, "", "n", schema.GroupVersionResource{}, "", admission.Create, &metav1.CreateOptions{}, false, nil),
		VersionedObject: admission.NewLazyObject(o), VersionedKind: kind,
	}
	request := plugin.CreateAdmissionRequest(attributes.Attributes, metav1.GroupVersionResource{}, metav1.GroupVersionKind(kind))
	results, _, err := evaluator.ForInput(context.Background(), attributes, request, plugin.OptionalVariableBindings{}, nil, celconfig.RuntimeCELCostBudget)
	check(err)
	if err := results[0].Error; err != nil {
		_, why, _ := strings.Cut(err.Error(), "resulted in error: ")
		fmt.Printf("%s: %s: error: %s\n", kind.Kind, text, why)
		return
	}
	fmt.Printf("%s: %s: %v\n", kind.Kind, text, results[0].EvalResult)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
}
GO
cd "$tmp"
go mod init finding >/dev/null 2>&1
go get k8s.io/apiserver@v0.37.2 k8s.io/api@v0.37.2 k8s.io/apimachinery@v0.37.2 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
seen=$(go run .)
echo "$seen"
[ "$seen" = "Pod: has(object.spec.initContainers): false
ClusterRole: has(object.rules): true
ClusterRole: object.rules == null: true
ClusterRole: !has(object.rules) || object.rules.all(r, true): error: got 'types.Null', expected iterable type" ]

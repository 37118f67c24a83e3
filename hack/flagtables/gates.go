package main

import (
	"go/ast"
	"go/token"
	"os"
	"strings"
)

// gatePackages are those that add feature gates to all components of Kubernetes,
// and of kubeadm, which has a list of its own.
var gatePackages = map[string][]string{
	"kubernetes": {"kubernetes/pkg/features", "apiserver/pkg/features", "client-go/features", "apiextensions-apiserver/pkg/features",
		"component-base/metrics/features", "component-base/logs/api/v1", "component-base/zpages/features", "controller-manager/pkg/features"},
	"kubeadm": {"kubernetes/cmd/kubeadm/app/features"},
}

// gates adds the feature gates: scope, name, and whether a value is locked (to
// true or false) or free.
func (k *kubernetes) gates(to table) error {
	for scope, packages := range gatePackages {
		for _, p := range packages {
			s, err := parse(k.dir(p))
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				return err
			}
			locks := s.locks()
			for name, lock := range locks {
				to.add(k.minor, scope, name, lock)
			}
		}
		if scope == "kubernetes" {
			to.add(k.minor, scope, "AllAlpha", "free")
			to.add(k.minor, scope, "AllBeta", "free")
		}
	}
	return nil
}

// locks finds the maps from a gate to what is known of it.
func (s source) locks() map[string]string {
	out := map[string]string{}
	for _, f := range s.files {
		ast.Inspect(f, func(n ast.Node) bool {
			m, ok := n.(*ast.CompositeLit)
			if !ok || !isGateMap(m.Type) {
				return true
			}
			for _, e := range m.Elts {
				kv, ok := e.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				if name, ok := s.text(last(kv.Key)); ok {
					out[name] = lockOf(kv.Value)
				} else if id, ok := last(kv.Key).(*ast.Ident); ok {
					out[id.Name] = lockOf(kv.Value) // of another package; each is called as it is written
				}
			}
			return true
		})
	}
	return out
}

func last(e ast.Expr) ast.Expr {
	if sel, ok := e.(*ast.SelectorExpr); ok {
		return sel.Sel
	}
	return e
}

// isGateMap knows map[Feature]VersionedSpecs, map[Feature]FeatureSpec and kubeadm's FeatureList.
func isGateMap(t ast.Expr) bool {
	if id, ok := t.(*ast.Ident); ok {
		return id.Name == "FeatureList"
	}
	m, ok := t.(*ast.MapType)
	if !ok {
		return false
	}
	key, ok := last(m.Key).(*ast.Ident)
	if !ok || key.Name != "Feature" {
		return false
	}
	value, ok := last(m.Value).(*ast.Ident)
	return ok && (value.Name == "VersionedSpecs" || value.Name == "FeatureSpec")
}

// lockOf looks at the newest specification, which is the last.
func lockOf(value ast.Expr) string {
	specs, ok := value.(*ast.CompositeLit)
	if !ok {
		return "free"
	}
	newest := specs
	if n := len(specs.Elts); n > 0 {
		if c, ok := specs.Elts[n-1].(*ast.CompositeLit); ok {
			newest = c
		}
	}
	locked, value2 := false, "false"
	ast.Inspect(newest, func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok || kv.Colon == token.NoPos {
			return true
		}
		key, _ := kv.Key.(*ast.Ident)
		id, _ := kv.Value.(*ast.Ident)
		if key == nil || id == nil {
			return true
		}
		switch key.Name {
		case "LockToDefault":
			locked = id.Name == "true"
		case "Default":
			value2 = strings.ToLower(id.Name)
		}
		return true
	})
	if locked {
		return value2
	}
	return "free"
}

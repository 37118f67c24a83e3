package main

import (
	"go/ast"
	"reflect"
	"strconv"
	"strings"
)

// documents maps a document to the package of its type, which has its name.
var documents = map[string]string{
	"ClusterConfiguration":   "kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4",
	"InitConfiguration":      "kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4",
	"JoinConfiguration":      "kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4",
	"KubeletConfiguration":   "kubelet/config/v1beta1",
	"KubeProxyConfiguration": "kube-proxy/config/v1alpha1",
}

// fields adds each document's fields: the document, the field's path, and what it
// takes: string, bool, int, map, list, object (fields of its own follow), or other.
func (k *kubernetes) fields(to table) error {
	for document, pkg := range documents {
		s, err := parse(k.dir(pkg))
		if err != nil {
			return err
		}
		s.walk(document, "", map[string]bool{}, func(path, kind string) { to.add(k.minor, document, path, kind) })
	}
	return nil
}

// walk goes through a struct of the package; one of another package is other.
func (s source) walk(name, prefix string, above map[string]bool, found func(path, kind string)) {
	st, ok := s.typeOf(name).(*ast.StructType)
	if !ok || above[name] {
		return
	}
	above[name] = true
	defer delete(above, name)
	for _, f := range st.Fields.List {
		tag := ""
		if f.Tag != nil {
			raw, err := strconv.Unquote(f.Tag.Value)
			if err != nil {
				continue
			}
			tag, _, _ = strings.Cut(reflect.StructTag(raw).Get("json"), ",")
		}
		if tag == "" { // inlined
			if id, ok := f.Type.(*ast.Ident); ok && len(f.Names) == 0 {
				s.walk(id.Name, prefix, above, found)
			}
			continue
		}
		if tag == "-" {
			continue
		}
		kind, inner := s.kind(f.Type)
		found(prefix+tag, kind)
		if inner != "" {
			s.walk(inner, prefix+tag+".", above, found)
		}
	}
}

func (s source) typeOf(name string) ast.Expr {
	for _, f := range s.files {
		for _, d := range f.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				if t, ok := spec.(*ast.TypeSpec); ok && t.Name.Name == name {
					return t.Type
				}
			}
		}
	}
	return nil
}

// kind names what a type takes; inner is a struct of the package.
func (s source) kind(t ast.Expr) (kind, inner string) {
	switch t := t.(type) {
	case *ast.StarExpr:
		return s.kind(t.X)
	case *ast.ArrayType:
		if kind, in := s.kind(t.Elt); kind == "object" {
			return "list", in
		}
		return "list", ""
	case *ast.MapType:
		return "map", ""
	case *ast.SelectorExpr:
		if t.Sel.Name == "Duration" {
			return "duration", ""
		}
		return "other", ""
	case *ast.Ident:
		switch {
		case t.Name == "string" || t.Name == "bool":
			return t.Name, ""
		case strings.HasPrefix(t.Name, "int") || strings.HasPrefix(t.Name, "uint"):
			return "int", ""
		}
		under := s.typeOf(t.Name)
		if _, ok := under.(*ast.StructType); ok {
			return "object", t.Name
		}
		if under != nil {
			return s.kind(under)
		}
	}
	return "other", ""
}

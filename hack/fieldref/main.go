// Command fieldref writes docs/cluster-file.md, the reference of the Cluster file,
// from the comments of its types: `go run ./hack/fieldref`.
package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

const (
	source = "pkg/api/v1alpha1/cluster_types.go"
	target = "docs/cluster-file.md"
)

const intro = `# The Cluster file

Made from the types in ` + source + ` by ` + "`go run ./hack/fieldref`" + `; a test fails when it is stale.
` + "`kubectl ha init`" + ` writes a commented file to begin with. An unknown field is an error, with the line and the nearest
name that there is. Defaults are in the descriptions; what names none is empty, or off.
`

func main() {
	text, err := reference(".")
	if err == nil {
		err = os.WriteFile(target, []byte(text), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fieldref:", err)
		os.Exit(1)
	}
}

// reference is the whole page.
func reference(root string) (string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, source), nil, parser.ParseComments)
	if err != nil {
		return "", err
	}
	r := &reader{structs: map[string]*ast.StructType{}, docs: map[string]string{}}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, s := range g.Specs {
			t, ok := s.(*ast.TypeSpec)
			if !ok {
				return "", errors.New("a type declaration has no type")
			}
			r.docs[t.Name.Name] = sentence(g.Doc)
			if st, ok := t.Type.(*ast.StructType); ok {
				r.structs[t.Name.Name] = st
			}
		}
	}
	r.b.WriteString(intro)
	if err := r.write("Cluster", ""); err != nil {
		return "", err
	}
	return r.b.String(), nil
}

type reader struct {
	structs map[string]*ast.StructType
	docs    map[string]string
	b       strings.Builder
	// seen are the paths' types that have a table already.
	seen []string
}

// write writes a type's table, and below it those of the types in it.
func (r *reader) write(name, path string) error {
	for _, s := range r.seen {
		if s == name {
			return nil
		}
	}
	r.seen = append(r.seen, name)
	title := path
	if title == "" {
		title = "Cluster"
	}
	fmt.Fprintf(&r.b, "\n## %s\n\n%s\n\n| Field | Type | |\n|---|---|---|\n", title, r.docs[name])
	if path == "" {
		r.b.WriteString("| `apiVersion` | text | `kubectl-ha.dev/v1alpha1` |\n| `kind` | text | `Cluster` |\n")
	}
	type below struct{ name, path string }
	var later []below
	for _, f := range r.structs[name].Fields.List {
		if f.Tag == nil || len(f.Names) == 0 {
			continue
		}
		field, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
		doc := sentence(f.Doc)
		if doc == "" && name != "Proxy" && name != "Cluster" {
			return fmt.Errorf("%s.%s has no comment", name, f.Names[0].Name)
		}
		kind, inner := r.kind(f.Type)
		fmt.Fprintf(&r.b, "| `%s` | %s | %s |\n", field, kind, strings.ReplaceAll(doc, "|", "\\|"))
		if r.structs[inner] != nil {
			later = append(later, below{inner, strings.TrimPrefix(path+"."+field, ".")})
		}
	}
	for _, l := range later {
		if err := r.write(l.name, l.path); err != nil {
			return err
		}
	}
	return nil
}

// kind is a type for people, and the name of the type in it.
func (r *reader) kind(e ast.Expr) (text, inner string) {
	switch t := e.(type) {
	case *ast.StarExpr:
		return r.kind(t.X)
	case *ast.ArrayType:
		text, inner = r.kind(t.Elt)
		return "list of " + text, inner
	case *ast.MapType:
		text, inner = r.kind(t.Value)
		return "map of " + text, inner
	case *ast.Ident:
		switch {
		case r.structs[t.Name] != nil:
			return t.Name, t.Name
		case t.Name == "int32":
			return "number", ""
		case t.Name == "bool":
			return "true or false", ""
		case t.Name == "RawMap":
			return "any map", ""
		}
	}
	return "text", ""
}

// sentence is a comment in one line.
func sentence(c *ast.CommentGroup) string {
	if c == nil {
		return ""
	}
	return strings.Join(strings.Fields(c.Text()), " ")
}

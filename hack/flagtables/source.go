package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// source is one package's files, without tests and other systems' ones.
type source struct {
	files  []*ast.File
	consts map[string]string
}

// parse reads the named files of a folder, all when none are named.
func parse(dir string, only ...string) (source, error) {
	s := source{consts: map[string]string{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return s, err
	}
	for _, e := range entries {
		name := e.Name()
		foreign := strings.HasSuffix(name, "_windows.go") || strings.HasSuffix(name, "_other.go") || strings.HasSuffix(name, "_others.go")
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || foreign || len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return s, err
		}
		s.files = append(s.files, f)
		s.readConsts(f)
	}
	if len(s.files) == 0 {
		return s, fmt.Errorf("%s has no Go source", dir)
	}
	return s, nil
}

func (s source) readConsts(f *ast.File) {
	for _, d := range f.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for _, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			for i, name := range v.Names {
				if i < len(v.Values) {
					if text, ok := s.text(v.Values[i]); ok {
						s.consts[name.Name] = text
					}
				}
			}
		}
	}
}

// text is the value of a string literal, or of a constant of the package or of
// another one that is known by the same name.
func (s source) text(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, err := strconv.Unquote(e.Value)
			return text, err == nil
		}
	case *ast.Ident:
		text, ok := s.consts[e.Name]
		return text, ok
	case *ast.SelectorExpr:
		text, ok := s.consts[e.Sel.Name]
		return text, ok
	case *ast.BinaryExpr:
		a, okA := s.text(e.X)
		b, okB := s.text(e.Y)
		return a + b, okA && okB && e.Op == token.ADD
	}
	return "", false
}

var (
	definition = regexp.MustCompile(`^(String|Bool|Int|Int32|Int64|Uint|Uint16|Uint32|Uint64|Float32|Float64|Duration|IP|IPNet|StringSlice|StringArray|StringToString|IntSlice|Int32Slice)(Var)?P?$`)
	flagName   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
)

// flags calls found with the name and kind of each flag that is registered.
func (s source) flags(found func(name, kind string)) {
	for _, f := range s.files {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			kind, at, least := "", -1, 3 // name, default and usage
			if m := definition.FindStringSubmatch(sel.Sel.Name); m != nil {
				kind, at = strings.ToLower(m[1]), 0
				if m[2] != "" {
					at, least = 1, 4 // the variable as well
				}
			} else if slices.Contains([]string{"Var", "VarP", "VarPF"}, sel.Sel.Name) {
				kind, at = valueKind(call), 1
			}
			if at < 0 || len(call.Args) < least {
				return true
			}
			for _, name := range s.names(call.Args[at]) {
				found(name, kind)
			}
			return true
		})
	}
}

// names are what an expression may stand for: a text, or one with a place for the name
// of an audit backend. The components take - for _ and the other way round.
func (s source) names(e ast.Expr) []string {
	text, ok := s.text(e)
	all := []string{text}
	if call, isCall := e.(*ast.CallExpr); isCall && len(call.Args) == 2 {
		if text, ok = s.text(call.Args[0]); ok {
			all = nil
			for _, backend := range []string{"log", "webhook"} {
				all = append(all, strings.ReplaceAll(text, "%s", backend))
			}
		}
	}
	if !ok {
		return nil
	}
	var out []string
	for _, name := range all {
		if flagName.MatchString(name) {
			out = append(out, strings.ReplaceAll(name, "_", "-"))
		}
	}
	return out
}

// registered calls found with the flags that register(from, to, "name") takes over
// from a library.
func (s source) registered(found func(name string)) {
	for _, f := range s.files {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 3 {
				return true
			}
			if fun, ok := call.Fun.(*ast.Ident); ok && (fun.Name == "register" || fun.Name == "registerDeprecated") {
				for _, name := range s.names(call.Args[2]) {
					found(name)
				}
			}
			return true
		})
	}
}

// valueKind is what a flag.Value of one's own takes; other is anything.
func valueKind(call *ast.CallExpr) string {
	value, ok := call.Args[0].(*ast.CallExpr)
	if !ok {
		return "other"
	}
	name := ""
	switch fun := value.Fun.(type) {
	case *ast.SelectorExpr:
		name = fun.Sel.Name
	case *ast.Ident:
		name = fun.Name
	}
	switch name {
	case "NewUint32Value":
		return "uint32"
	case "NewMapStringBool":
		return "boolmap"
	}
	return "other"
}

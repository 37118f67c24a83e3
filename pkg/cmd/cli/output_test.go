package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// thing is what a command prints.
type thing struct {
	Name  string   `json:"name"`
	Bytes int64    `json:"bytes"`
	Tags  []string `json:"tags,omitempty"`
}

// TestPrint: each format prints an object and a list, and whole numbers as such.
func TestPrint(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "template")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := thing{Name: "a", Bytes: 123456789, Tags: []string{"x", "<y>"}}
	list := []thing{one, {Name: "b"}}
	for _, tc := range []struct {
		format string
		v      any
		want   string
	}{
		{"json", one, "{\n  \"name\": \"a\",\n  \"bytes\": 123456789,\n  \"tags\": [\n    \"x\",\n    \"\\u003cy\\u003e\"\n  ]\n}\n"},
		{"JSON", []thing{}, "[]\n"},
		{"yaml", one, "bytes: 123456789\nname: a\ntags:\n- x\n- <y>\n"},
		{"yaml", list[1:], "- bytes: 0\n  name: b\n"},
		{"kyaml", list[1], "---\n{\n  bytes: 0,\n  name: \"b\",\n}\n"},
		{"jsonpath={.bytes} {.tags[1]}", one, "123456789 <y>"},
		{"jsonpath={.nothing.there}", one, ""},
		{"jsonpath={range [*]}{.name}={.bytes};{end}", list, "a=123456789;b=0;"},
		{"jsonpath={[1].name}", list, "b"},
		{"jsonpath-as-json={.name}", one, "[\n    \"a\"\n]\n"},
		{"jsonpath-file=" + file("{.name}"), one, "a"},
		{"go-template={{.name}} {{.bytes}}", one, "a 123456789"},
		{"go-template={{range .tags}}{{.}} {{end}}", one, "x <y> "},
		{"go-template={{.nothing}}", one, "<no value>"},
		{"go-template={{range .}}{{.name}}={{.bytes}};{{end}}{{len $}}", list, "a=123456789;b=0;2"},
		{"go-template={{len .}}", []thing{}, "0"},
		{"go-template={{if exists . \"name\"}}yes{{end}}", one, "yes"},
	} {
		o, err := ParseOutput(tc.format, Formats{})
		if err != nil {
			t.Errorf("%s: %v", tc.format, err)
			continue
		}
		var out strings.Builder
		if err := o.Print(&out, tc.v); err != nil || out.String() != tc.want || !o.ForPrograms() || o.Wide() || o.Manifests() || o.Names() {
			t.Errorf("%s: %q, %v", tc.format, out.String(), err)
		}
	}
	fromFile, err := ParseOutput("go-template-file="+file("{{range .}}{{.name}}{{end}}"), Formats{})
	var out strings.Builder
	if err == nil {
		err = fromFile.Print(&out, list)
	}
	if err != nil || out.String() != "ab" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestPrintLine: several documents are told apart as each format does that, and events are some.
func TestPrintLine(t *testing.T) {
	for format, want := range map[string]string{
		"json":                             `{"name":"a","bytes":1}` + "\n" + `{"name":"b","bytes":2}` + "\n",
		"yaml":                             "bytes: 1\nname: a\n---\nbytes: 2\nname: b\n",
		"jsonpath={.name}{\"\\n\"}":        "a\nb\n",
		"go-template={{.name}}={{.bytes}}": "a=1b=2",
	} {
		o, err := ParseOutput(format, Formats{Documents: "some"})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for i, name := range []string{"a", "b"} {
			if err := o.PrintLine(&out, thing{Name: name, Bytes: int64(i + 1)}); err != nil {
				t.Errorf("%s: %v", format, err)
			}
		}
		if out.String() != want {
			t.Errorf("%s: %q", format, out.String())
		}
	}
	for format, want := range map[string]string{"jsonpath={.kind} {.message}": "info hello", "yaml": "kind: info\nmessage: hello\n", "json": `"kind":"info","message":"hello"`} {
		o, err := ParseOutput(format, Formats{})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		shown := NewProgress(&out, o)
		shown.Emit(report.Event{Kind: report.Info, Message: "hello"})
		shown.Close()
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %q", format, out.String())
		}
	}
}

// TestPrintNames is as kubectl has it, with a group and without.
func TestPrintNames(t *testing.T) {
	o, err := ParseOutput("name", Formats{Names: true})
	if err != nil || !o.Names() || !o.ForPrograms() {
		t.Fatalf("%+v, %v", o, err)
	}
	var out strings.Builder
	for _, kind := range []schema.GroupKind{{Kind: "Addon"}, {Group: "kubectl-ha.dev", Kind: "Operation"}} {
		if err := o.PrintNames(&out, kind, "a", "b"); err != nil {
			t.Error(err)
		}
	}
	if want := "addon/a\naddon/b\noperation.kubectl-ha.dev/a\noperation.kubectl-ha.dev/b\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

// TestFormats: what a command lacks is an error as kubectl's, that names what it has; a template is
// read before anything is done.
func TestFormats(t *testing.T) {
	for _, tc := range []struct {
		format string
		f      Formats
		says   string
	}{
		{"", Formats{}, ""},
		{"text", Formats{}, ""},
		{"wide", Formats{Wide: "more"}, ""},
		{"name", Formats{Names: true}, ""},
		{"wide", Formats{}, `unable to match a printer suitable for the output format "wide", allowed formats are: go-template,`},
		{"name", Formats{}, `the output format "name"`},
		{"xml", Formats{Names: true, Wide: "more"}, "jsonpath-file, kyaml, name, template, templatefile, text, wide, yaml"},
		{"jsonpath", Formats{}, "no template given"},
		{"jsonpath={", Formats{}, "error parsing jsonpath {, unclosed action"},
		{"go-template={{", Formats{}, "error parsing template {{"},
		{"go-template-file=/none", Formats{}, "/none"},
	} {
		o, err := ParseOutput(tc.format, tc.f)
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q: %v", tc.format, err)
		}
		if people := tc.format == "" || tc.format == "text" || tc.format == "wide"; err == nil && (o.ForPrograms() == people || o.Wide() != (tc.format == "wide")) {
			t.Errorf("%q: %+v", tc.format, o)
		}
	}
	manifests, err := ParseOutput("yaml", Formats{Manifests: true})
	if err != nil || !manifests.Manifests() || !manifests.ForPrograms() {
		t.Errorf("%+v, %v", manifests, err)
	}
	if err := (Output{}).PrintLine(&strings.Builder{}, 1); err == nil {
		t.Error("a document for people was printed")
	}
}

// TestOutputFlag: a mistake is told as kubectl tells it, and commands with an Output in common may
// have different formats.
func TestOutputFlag(t *testing.T) {
	var shared Output
	first, second := &cobra.Command{Use: "first"}, &cobra.Command{Use: "second"}
	AddOutput(first, &shared, Formats{Wide: "more"})
	AddOutput(second, &shared, Formats{})
	if err := first.ParseFlags([]string{"-o", "wide"}); err != nil || !shared.Wide() {
		t.Errorf("%+v, %v", shared, err)
	}
	err := FlagError(second, second.ParseFlags([]string{"-o", "wide"}))
	if err == nil || !strings.HasPrefix(err.Error(), `unable to match a printer suitable for the output format "wide"`) {
		t.Errorf("got %v", err)
	}
	if err := FlagError(second, second.ParseFlags([]string{"-o", "jsonpath={"})); err == nil || !strings.Contains(err.Error(), "unclosed action") {
		t.Errorf("got %v", err)
	}
}

// TestDocumentStays: printers get what was marshalled, and can copy it.
func TestDocumentStays(t *testing.T) {
	d := &document{map[string]any{"a": []any{int64(1)}}}
	data, err := json.Marshal(d.DeepCopyObject())
	if err != nil || string(data) != `{"a":[1]}` || d.GetObjectKind().GroupVersionKind().Empty() {
		t.Errorf("%s, %v", data, err)
	}
}

// TestLeave: who leaves an Operation is told its name in the format.
func TestLeave(t *testing.T) {
	for format, want := range map[string]string{"": "operation upgrade-a started; ", "json": `"kind":"info","message":"operation upgrade-a started; `, "jsonpath={.message}": "operation upgrade-a started; "} {
		o, err := ParseOutput(format, Formats{})
		if err != nil {
			t.Fatal(err)
		}
		streams, _, out, _ := genericiooptions.NewTestIOStreams()
		if err := WatchOrLeave(t.Context(), streams, nil, "upgrade-a", o, WaitFlags{Detach: true}); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%q: %q, %v", format, out.String(), err)
		}
		if format == "json" && !json.Valid(out.Bytes()) {
			t.Errorf("%q is no JSON", out.String())
		}
	}
}

package manifest

import (
	"reflect"
	"strings"
	"testing"
)

func TestDocuments(t *testing.T) {
	type doc = map[string]any
	own, merged := doc{"image": "own"}, doc{"image": "merged"}
	for name, c := range map[string]struct {
		in   string
		want []doc
		err  string
	}{
		"nothing":                  {in: "\n---\n# a comment\n---\n"},
		"a merge behind a field":   {in: "a: &x {image: merged}\nb:\n  image: own\n  <<: *x\n", want: []doc{{"a": merged, "b": merged}}},
		"a merge before a field":   {in: "a: &x {image: merged}\nb:\n  <<: *x\n  image: own\n", want: []doc{{"a": merged, "b": own}}},
		"a merge of two":           {in: "a: &x {image: own}\nb: &y {image: merged}\nc: {<<: [*x, *y]}\n", want: []doc{{"a": own, "b": merged, "c": own}}},
		"an anchor in a list":      {in: "l: [&x {image: own}, *x]\n", want: []doc{{"l": []any{own, own}}}},
		"a key twice":              {in: "image: merged\nimage: own\n", want: []doc{own}},
		"several":                  {in: "image: own\n--- # next\nimage: merged\n---\n", want: []doc{own, merged}},
		"a separator within text":  {in: "a: |\n  x\n  ---\n  y\n", want: []doc{{"a": "x\n---\ny\n"}}},
		"JSON":                     {in: `{"image": "own"}` + "\n" + `{"image": "merged"}`, want: []doc{own, merged}},
		"CRLF":                     {in: "image: own\r\n---\r\nimage: merged\r\n", want: []doc{own, merged}},
		"YAML 1.1's booleans":      {in: "a: yes\n", want: []doc{{"a": true}}},
		"an anchor of another one": {in: "a: &x 1\n---\nb: *x\n", err: "source: document 2 is neither"},
		"text behind a separator":  {in: "a: 1\n--- {b: 2}\n", err: "separator"},
		"a list":                   {in: "- a\n", err: "source: document 1"},
		"a template":               {in: "a: {{ .Values.a }}\n", err: "source: document 1"},
		"an alias of itself":       {in: "a: &x [*x]\n", err: "source: document 1"},
	} {
		got, err := Documents([]byte(c.in), "source")
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want one with %q", name, err, c.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
}

package yamldoc

import (
	"reflect"
	"strings"
	"testing"

	kyaml "sigs.k8s.io/yaml"
)

func TestNearest(t *testing.T) {
	known := []string{"address", "as", "labels", "name", "roles", "ssh"}
	for name, want := range map[string]string{
		"adress": "address", "Address": "address", "nmae": "name", "role": "roles", "lables": "labels",
		"shs": "ssh", "yes": "", "zzzz": "", "": "", "addresses": "address", strings.Repeat("a", 1000): "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// What is written must be read the same by this package (YAML 1.2's rules) and
// by Kubernetes' own reader (YAML 1.1's), which kubeadm uses.
func TestEncodeIsReadTheSameByAll(t *testing.T) {
	for _, s := range []string{
		"", "a", "yes", "No", "ON", "off", "y", "N", "true", "False", "null", "Null", "~", "1", "-1", "1.5", "1e3", "1_000",
		"0x1f", "0o17", "017", "0b1", "1:30", "1:30.5", ".5", ".inf", ".NaN", "2024-01-02", "2024-01-02T03:04:05Z", "=", "<<",
		"-", "- a", "a: b", "a:", ":a", "a #b", "#a", " a", "a ", "a\tb", "a\nb", "a\nb\n", "a\n\n  b\nc\n", "\n", "\na\n", " a\nb\n",
		"a \nb\n", "ä\nö\n", "\u2028", "\x00", "\x7f", "'", "\"", "\\", "{a}", "[a]", "&a", "*a", "!a", "%a", "@a", "`a", "|", ">", "?", "? a",
		"---", "...", "--- a", "10.0.0.1", "10.0.0.1:6443", "10.244.0.0/16", "2001:db8::1", "fd00::", "v1.36.3", "https://a:2379",
		"12345678901234567890123456789012345678901234567890e1", "0e0", "1e", "e1", "a,b", "a=b", "/a/b", "unix:///run/x.sock",
		"name: |\n  x\n", strings.Repeat("long ", 100), "a\r\nb\n", "{{ a }}", "\ufeff", "a\u0085b",
	} {
		in := map[string]any{"k": s, "l": []any{s}, "n": map[string]any{"m": s}}
		if s != "" && !strings.ContainsAny(s, "\x00") {
			in[s] = "v"
		}
		data, err := Encode(in)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		ours, _, problems := Values(data)
		if len(problems) > 0 || !reflect.DeepEqual(ours, in) {
			t.Errorf("%q: read as %#v, %v from\n%s", s, ours, problems, data)
		}
		theirs := map[string]any{}
		if err := kyaml.Unmarshal(data, &theirs); err != nil || !reflect.DeepEqual(theirs, in) {
			t.Errorf("%q: Kubernetes reads %#v, %v from\n%s", s, theirs, err, data)
		}
	}
}

func TestEncodeKeepsOrderAndNumbers(t *testing.T) {
	v := struct {
		Z     int64          `json:"z"`
		A     []string       `json:"a,omitempty"`
		Empty map[string]any `json:"empty"`
		M     any            `json:"m"`
	}{Z: 1 << 60, Empty: map[string]any{}, M: map[string]any{"x": []any{}, "f": 0.5, "n": nil}}
	got, err := Encode(v)
	if want := "z: 1152921504606846976\nempty: {}\nm:\n  f: 0.5\n  \"n\": null\n  x: []\n"; err != nil || string(got) != want {
		t.Errorf("got\n%s%v, want\n%s", got, err, want)
	}
	got, err = EncodeClean(v)
	if want := "z: 1152921504606846976\nm:\n  f: 0.5\n  \"n\": null\n  x: []\n"; err != nil || string(got) != want {
		t.Errorf("clean: got\n%s%v, want\n%s", got, err, want)
	}
}

func TestLineFallsBackToTheParent(t *testing.T) {
	_, lines, problems := Values([]byte("a:\n  b:\n    - c\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for path, want := range map[string]int{"a.b[0]": 3, "a.b[7]": 2, "a.x.y": 1, "z": 1, "": 1} {
		if got := lines.Line(path); got != want {
			t.Errorf("%q: line %d, want %d", path, got, want)
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	_, problems := Decode([]byte("x: 1\n"+strings.Repeat("x: 1\n", 500)), &struct{}{})
	if len(problems) == 0 || len(problems) > maxProblems {
		t.Errorf("%d problems", len(problems))
	}
}

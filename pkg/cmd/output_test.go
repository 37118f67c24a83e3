package cmd

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// templates are what is given with a format that takes something.
var templates = map[string]string{"TEMPLATE": "{.a}"}

// TestFormatsOfTheHelp walks the whole tree: each command with -o takes the formats that its help
// names, and refuses those that it does not name. json, yaml and templates all have.
func TestFormatsOfTheHelp(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	comment := regexp.MustCompile(` \([^)]*\)`)
	seen := 0
	for _, c := range commands(NewRoot(streams)) {
		f := c.Flags().Lookup("output")
		if f == nil || f.Hidden {
			continue
		}
		seen++
		var named []string
		for _, one := range strings.Split(strings.ReplaceAll(comment.ReplaceAllString(f.Usage, ""), " or ", ", "), ", ") {
			format, template, _ := strings.Cut(one, "=")
			named = append(named, format)
			if template != "" {
				value := templates[template]
				if value == "" {
					t.Errorf("%s: what is %s?", c.CommandPath(), one)
				}
				format += "=" + value
			}
			if err := f.Value.Set(format); err != nil || f.Value.String() != format {
				t.Errorf("%s -o %s: %v", c.CommandPath(), format, err)
			}
		}
		for _, format := range []string{"text", "json", "yaml", "jsonpath", "go-template"} {
			if !slices.Contains(named, format) {
				t.Errorf("%s: -o %s is not in the help: %s", c.CommandPath(), format, f.Usage)
			}
		}
		for _, format := range []string{"wide", "name", "xml", "short", "custom-columns=A:.a"} {
			if err := f.Value.Set(format); (err == nil) != slices.Contains(named, format) {
				t.Errorf("%s -o %s: %v, and the help is %s", c.CommandPath(), format, err, f.Usage)
			}
		}
		if words := completed(t, c); !slices.Contains(words, "yaml") || slices.Contains(words, "wide") != slices.Contains(named, "wide") {
			t.Errorf("%s: the shell completes %v", c.CommandPath(), words)
		}
	}
	if seen < 35 {
		t.Errorf("only %d commands have -o", seen)
	}
}

// completed are the formats that the shell completes.
func completed(t *testing.T, c *cobra.Command) []string {
	t.Helper()
	complete, ok := c.GetFlagCompletionFunc("output")
	if !ok {
		t.Fatalf("%s: -o has no completion", c.CommandPath())
	}
	words, _ := complete(c, nil, "")
	return words
}

// TestUnknownFormat: the message is kubectl's, before anything is asked of a cluster.
func TestUnknownFormat(t *testing.T) {
	for _, args := range []string{"status -o xml", "version -o wide", "bootstrap -o short", "upgrade plan -o name", "bundle inspect none.tar -o xml"} {
		code, out, errOut := run(t, strings.Fields(args)...)
		if code != 2 || out != "" || !strings.Contains(strings.Join(strings.Fields(errOut), " "), "error: unable to match a printer suitable for the output format") || !strings.Contains(errOut, "jsonpath") {
			t.Errorf("%s: exit code %d, %q", args, code, errOut)
		}
	}
}

// TestFormatsOfVersion: what any of them prints, from the command line to the output.
func TestFormatsOfVersion(t *testing.T) {
	for format, want := range map[string]string{
		"json": "{\n  \"version\": ", "yaml": "kubernetes: ", "jsonpath={.kubernetes}": "v1.", "go-template={{.kubernetes}}": "v1.", "text": "kubectl-ha ",
	} {
		if code, out, errOut := run(t, "version", "-o", format); code != 0 || !strings.Contains(out, want) || strings.Contains(out, "<no") {
			t.Errorf("-o %s: exit code %d, %q, %q", format, code, out, errOut)
		}
	}
}

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
)

// The formats of -o that commands ask for by name.
const (
	outputText = "text"
	outputWide = "wide"
	outputJSON = "json"
	outputYAML = "yaml"
	outputName = "name"
)

// Formats say what a command prints in the formats of -o that not all commands have. text, json,
// yaml and kubectl's templates all have.
type Formats struct {
	// Wide is what the wide table has besides. Empty: there is none.
	Wide string
	// Documents is what json prints, where it is more than one document.
	Documents string
	// Manifests says that yaml prints objects for kubectl apply, and that nothing is changed.
	Manifests bool
	// Names says that what is printed has names, for PrintNames.
	Names bool
}

// usage is the help for -o.
func (f Formats) usage() string {
	with := func(format, comment string) string {
		if comment == "" {
			return format
		}
		return format + " (" + comment + ")"
	}
	out := []string{outputText + " (default)"}
	if f.Wide != "" {
		out = append(out, with(outputWide, f.Wide))
	}
	yaml := ""
	if f.Manifests {
		yaml = "print the manifests, change nothing"
	}
	out = append(out, with(outputJSON, f.Documents), with(outputYAML, yaml))
	if f.Names {
		out = append(out, outputName)
	}
	return strings.Join(out, ", ") + ", jsonpath=TEMPLATE or go-template=TEMPLATE"
}

// flags are kubectl's, with which a format is turned into its printer.
func (f Formats) flags(format string) *genericclioptions.PrintFlags {
	flags := genericclioptions.NewPrintFlags("").WithDefaultOutput(format)
	if !f.Names {
		flags.NamePrintFlags = nil
	}
	return flags
}

// allowed are the formats, sorted.
func (f Formats) allowed() []string {
	out := append(f.flags("").AllowedFormats(), outputText)
	if f.Wide != "" {
		out = append(out, outputWide)
	}
	slices.Sort(out)
	return out
}

// Output is what -o says. The zero value is text.
type Output struct {
	format    string
	manifests bool
	// printer is nil for what people read.
	printer printers.ResourcePrinter
	// list is printer for a list, where that takes only objects.
	list printers.ResourcePrinter
}

// formatError is kubectl's for a format that is not known. It has blanks after its commas, at which
// a terminal can break it.
type formatError struct {
	format  string
	allowed []string
}

func (e *formatError) Error() string {
	return fmt.Sprintf("unable to match a printer suitable for the output format %q, allowed formats are: %s", e.format, strings.Join(e.allowed, ", "))
}

// ParseOutput reads a value of -o. Templates are read and parsed here, before anything is done.
// Errors are action.Invalid.
func ParseOutput(format string, f Formats) (Output, error) {
	o := Output{format: format, manifests: f.Manifests && strings.EqualFold(format, outputYAML)}
	if format == "" || format == outputText || format == outputWide && f.Wide != "" {
		return o, nil
	}
	printer, err := f.flags(format).ToPrinter()
	if genericclioptions.IsNoCompatiblePrinterError(err) {
		return Output{}, action.As(action.Invalid, &formatError{format, f.allowed()})
	}
	if err != nil {
		return Output{}, action.As(action.Invalid, err)
	}
	o.printer = printer
	if _, is := printer.(*printers.GoTemplatePrinter); is {
		o.list, err = listTemplate(format)
	}
	return o, action.As(action.Invalid, err)
}

// listTemplate is a go-template for a list. cli-runtime's printer takes only objects, since all
// of kubectl's lists are some.
func listTemplate(format string) (printers.ResourcePrinter, error) {
	name, text, _ := strings.Cut(format, "=")
	if strings.HasSuffix(name, "file") {
		data, err := os.ReadFile(text)
		if err != nil {
			return nil, err
		}
		text = string(data)
	}
	p, err := printers.NewGoTemplatePrinter([]byte(`{{define "list"}}` + text + `{{end}}{{template "list" .items}}`))
	if err != nil {
		return nil, fmt.Errorf("error parsing template %s, %w", text, err)
	}
	p.AllowMissingKeys(true)
	return p, nil
}

// outputFlag is -o.
type outputFlag struct {
	to      *Output
	formats Formats
}

// String is the format.
func (f *outputFlag) String() string {
	if f.to == nil {
		return ""
	}
	return f.to.format
}

// Type is kubectl's.
func (f *outputFlag) Type() string { return "string" }

// Set takes a format.
func (f *outputFlag) Set(text string) (err error) {
	*f.to, err = ParseOutput(text, f.formats)
	return err
}

// AddOutput adds -o to a command.
func AddOutput(c *cobra.Command, to *Output, f Formats) {
	c.Flags().VarP(&outputFlag{to, f}, "output", "o", f.usage())
	// RegisterFlagCompletionFunc fails only for a flag that is not there.
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(f.allowed(), cobra.ShellCompDirectiveNoFileComp))
}

// AddProgressOutput adds --progress to a command whose result is a file: the formats of -o, for
// its progress.
func AddProgressOutput(c *cobra.Command, to *Output) {
	f := Formats{Documents: "one event per line"}
	c.Flags().Var(&outputFlag{to, f}, "progress", "format of the progress output: "+f.usage())
}

// String is the format.
func (o Output) String() string { return o.format }

// ForPrograms tells whether documents are printed, or manifests, and nothing for people besides.
func (o Output) ForPrograms() bool { return o.printer != nil }

// Manifests tells whether objects for kubectl apply are asked for.
func (o Output) Manifests() bool { return o.manifests }

// Wide tells whether the wide table is asked for.
func (o Output) Wide() bool { return o.format == outputWide }

// Print prints the one document of a command.
func (o Output) Print(w io.Writer, v any) error {
	if o.isJSON() {
		// Not cli-runtime's: what scripts read is indented by two, and need not be an API object.
		return WriteJSON(w, v)
	}
	return o.PrintLine(w, v)
}

// PrintLine prints one of several documents: of JSON on a line of its own.
func (o Output) PrintLine(w io.Writer, v any) error {
	if o.isJSON() {
		return json.NewEncoder(w).Encode(v)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return o.print(w, data)
}

// Names tells whether only the names are asked for, for PrintNames.
func (o Output) Names() bool { return strings.EqualFold(o.format, outputName) }

// PrintNames prints names as kubectl does: KIND/NAME, or KIND.GROUP/NAME, each on a line.
func (o Output) PrintNames(w io.Writer, kind schema.GroupKind, names ...string) error {
	for _, name := range names {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(kind.WithVersion("v1"))
		u.SetName(name)
		if err := o.printer.PrintObj(u, w); err != nil {
			return err
		}
	}
	return nil
}

// Documents is a writer of JSON documents, one each Write, that prints them on w in the format.
func (o Output) Documents(w io.Writer) io.Writer {
	if o.isJSON() {
		return w
	}
	return documents{o, w}
}

type documents struct {
	output Output
	w      io.Writer
}

// Write prints one document.
func (d documents) Write(data []byte) (int, error) { return len(data), d.output.print(d.w, data) }

func (o Output) isJSON() bool { return strings.EqualFold(o.format, outputJSON) }

// print prints a JSON document by its printer.
func (o Output) print(w io.Writer, data []byte) error {
	var value any
	// Unlike encoding/json it keeps whole numbers, which templates would print as 1e+06.
	if err := utiljson.Unmarshal(data, &value); err != nil {
		return err
	}
	switch p := o.printer.(type) {
	case nil:
		return fmt.Errorf("the format %q is not for documents", o.format)
	case *printers.JSONPathPrinter:
		// Its PrintObj takes only API objects as they are.
		if err := p.Execute(w, value); err != nil {
			return fmt.Errorf("error executing %s: %w", o.format, err)
		}
		return nil
	}
	if items, is := value.([]any); is && o.list != nil {
		return o.list.PrintObj(&document{map[string]any{"items": items}}, w)
	}
	return o.printer.PrintObj(&document{value}, w)
}

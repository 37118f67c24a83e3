package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// version, commit and date are stamped by the linker (Makefile); never assigned to.
var version, commit, date = "", "", ""

// agentSums are the SHA-256 of the agents in this program's archive, stamped by hack/dist; see builtAgents.
var agentSums = ""

// Build is what the program says about itself.
type Build struct {
	Version   string `json:"version"`
	Commit    string `json:"commit,omitempty"`
	Date      string `json:"date,omitempty"`
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
	// Kubernetes is the window of versions that it can make and operate.
	Kubernetes string `json:"kubernetes"`
}

// build reads what the linker stamped, else what the go command knows.
func build() Build {
	b := Build{Version: version, Commit: commit, Date: date, GoVersion: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Kubernetes: v1alpha1.SupportedVersions}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && b.Commit == "" {
				b.Commit = s.Value
			}
		}
	}
	if b.Version == "" {
		b.Version = "v0.0.0-dev"
	}
	return b
}

type versionOptions struct {
	genericiooptions.IOStreams
	output string
}

func newVersion(streams genericiooptions.IOStreams) *cobra.Command {
	o := &versionOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:   "version [-o json]",
		Short: "Print the version of this program",
		Example: examples(`
			kubectl ha version
			kubectl ha version -o json`),
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run()
		},
	}
	c.Flags().StringVarP(&o.output, "output", "o", "", "text (default) or json")
	return c
}

// Validate checks the output format.
func (o *versionOptions) Validate() error { return checkOutput(o.output) }

// Run prints the version.
func (o *versionOptions) Run() error {
	b := build()
	if o.output == outputJSON {
		return writeJSON(o.Out, b)
	}
	_, err := fmt.Fprintf(o.Out, "kubectl-ha %s (%s, %s)\nKubernetes %s\n", b.Version, b.GoVersion, b.Platform, b.Kubernetes)
	return err
}

// The formats of -o.
const (
	outputText = "text"
	outputJSON = "json"
)

func checkOutput(format string, more ...string) error {
	known := append([]string{"", outputText, outputJSON}, more...)
	for _, k := range known {
		if format == k {
			return nil
		}
	}
	return usageErrorf("-o %s is not known; use one of %v", format, known[1:])
}

// writeJSON writes one document for people and programs.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// writeJSONLine writes one document on one line, beside events.
func writeJSONLine(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
)

// outFlag names the file that a verb writes to. -o is a format everywhere, as in kubectl.
const outFlag = "out"

// formats are the values of kubectl's -o, and ours.
var formats = []string{"text", "json", "yaml", "kyaml", "name", "wide", "short", "jsonpath", "jsonpath-as-json", "jsonpath-file",
	"go-template", "go-template-file", "template", "templatefile", "custom-columns", "custom-columns-file"}

// AddOutFlag adds --out to a verb that writes one file. Its -o named that file in earlier
// releases, and does so for one more, with a warning; but never a file that is called as a
// format is, which is a mistake that used to go unseen.
func AddOutFlag(c *cobra.Command, streams genericiooptions.IOStreams, path *string, usage string) {
	f := c.Flags()
	f.StringVar(path, outFlag, *path, usage)
	var old string
	f.StringVarP(&old, "output", "o", "", "what --out is")
	f.Lookup("output").Hidden = true
	// MarkFlagFilename fails only for a flag that is not there.
	_ = c.MarkFlagFilename(outFlag)
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		output := c.Flag("output")
		if !output.Changed {
			return nil
		}
		if err := refuseFormat(c, output, old); err != nil {
			return err
		}
		if c.Flag(outFlag).Changed {
			return action.Invalidf("--out and -o are mutually exclusive: specify the file with --out")
		}
		*path = old
		_, err := fmt.Fprintf(streams.ErrOut, "warning: -o %s is deprecated for a file name, use --out %s; in the next release -o is only a format\n", old, old)
		return err
	}
}

// refuseFormat refuses a format's name where a file's is meant.
func refuseFormat(c *cobra.Command, output *pflag.Flag, value string) error {
	name, _, _ := strings.Cut(strings.ToLower(value), "=")
	if !slices.Contains(formats, name) {
		return nil
	}
	return action.Invalidf("-o %s: %s has only one format; specify the file to write with --%s FILE", value, c.CommandPath(), outFlag)
}

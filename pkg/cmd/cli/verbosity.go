package cli

import (
	"flag"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/kubectl-ha/kubectl-ha/pkg/transport/apihttp"
)

// verbosityUsage is the help for -v, which every command has.
const verbosityUsage = "log `level`, on standard error: 4 logs the commands run over SSH, 6 also the requests to the API server, 8 also their bodies, except those that may hold secrets"

// verbosity is kubectl's -v. The level itself is klog's.
type verbosity struct {
	to    io.Writer
	level int
}

// AddVerbosity adds -v to all commands.
func AddVerbosity(f *pflag.FlagSet, to io.Writer) {
	f.VarP(&verbosity{to: to}, "v", "v", verbosityUsage)
}

// String is the level.
func (v *verbosity) String() string { return strconv.Itoa(v.level) }

// Type is how kubectl calls it.
func (v *verbosity) Type() string { return "Level" }

// Set has klog log what the level asks for.
func (v *verbosity) Set(text string) error {
	level, err := strconv.Atoi(text)
	if err != nil || level < 0 {
		return fmt.Errorf("%q is not a valid level: use a number such as 6", text)
	}
	v.level = level
	if level == 0 {
		return QuietLibraries()
	}
	return logLibraries(v.to, level)
}

// QuietLibraries keeps client-go's own log lines out of ours. What matters in
// them comes back as errors.
func QuietLibraries() error {
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	return logLibraries(io.Discard, 0)
}

// logLibraries has klog write to w. Without the threshold errors would go to the process's
// standard error besides.
func logLibraries(w io.Writer, level int) error {
	v, vmodule := apihttp.Levels(level)
	settings := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(settings)
	for _, s := range [][2]string{{"logtostderr", "false"}, {"stderrthreshold", "FATAL"}, {"one_output", "true"}, {"v", v}, {"vmodule", vmodule}} {
		if err := settings.Set(s[0], s[1]); err != nil {
			return fmt.Errorf("set up the log: %w", err)
		}
	}
	klog.SetOutput(w)
	return nil
}

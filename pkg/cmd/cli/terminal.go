package cli

import (
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Terminal tells whether a stream is a terminal.
func Terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// Drawable tells whether the terminal can be drawn on: cursor movements are known.
func Drawable() bool {
	if runtime.GOOS == "windows" {
		// The old console knows no sequences unless told to; Windows Terminal does.
		return os.Getenv("WT_SESSION") != ""
	}
	t := os.Getenv("TERM")
	return t != "" && t != "dumb" && os.Getenv("CI") == ""
}

// StyleFor chooses colours and characters. NO_COLOR: https://no-color.org
func StyleFor(w io.Writer) report.Style {
	_, isTerminal := Terminal(w)
	return report.Style{
		Color: isTerminal && Drawable() && os.Getenv("NO_COLOR") == "",
		ASCII: !utf8Locale(),
	}
}

// utf8Locale tells whether more than ASCII can be shown: no locale says
// nothing, C and POSIX say no.
func utf8Locale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf") || (v != "c" && v != "posix")
		}
	}
	return true
}

// Package program is what the running program says about itself: its name, its version, and
// the agents that were built with it.
package program

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
)

// Name is how people call the program; kubectl finds the plugin by its file name, kubectl-ha.
const Name = "kubectl ha"

// version, commit and date are stamped by the linker (Makefile); never assigned to.
var version, commit, date = "", "", ""

// agentSums are the SHA-256 of the agents in this program's archive, stamped by hack/dist; see Agents.
var agentSums = ""

// Build is what the program says about itself.
type Build struct {
	Version   string `json:"version"`
	Commit    string `json:"commit,omitempty"`
	Date      string `json:"date,omitempty"`
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

// Read reads what the linker stamped, else what the go command knows.
func Read() Build {
	b := Build{Version: version, Commit: commit, Date: date, GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
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

var releaseVersion = regexp.MustCompile(`^v\d+\.\d+\.\d+(-(alpha|beta|rc)\.\d+)?$`)

// Release is the version of a release; empty for any other build.
func Release() string {
	if v := Read().Version; releaseVersion.MatchString(v) {
		return v
	}
	return ""
}

// Agents are the SHA-256, in hex by architecture, of the agents in this program's archive;
// empty in a program that is no release's.
func Agents() (map[string]string, error) { return parseAgents(agentSums) }

// parseAgents reads what the linker stamped: amd64=HEX,arm64=HEX.
func parseAgents(stamped string) (map[string]string, error) {
	out := map[string]string{}
	if stamped == "" {
		return out, nil
	}
	for _, one := range strings.Split(stamped, ",") {
		arch, sum, _ := strings.Cut(one, "=")
		if raw, err := hex.DecodeString(sum); err != nil || len(raw) != 32 || arch == "" {
			return nil, fmt.Errorf("this program was built wrong: %.100q is not the checksum of an agent", one)
		}
		out[arch] = sum
	}
	return out, nil
}

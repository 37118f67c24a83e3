package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// archiveKeyring verifies every Debian that the lab builds. Package debian-archive-keyring.
const archiveKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// rootSpec is one call of mmdebstrap.
type rootSpec struct {
	// suite is Debian's code name, variant mmdebstrap's.
	suite, variant string
	packages       []string
	// out is the tar file to write.
	out string
	// more are further arguments.
	more []string
}

// argv is the command. Without sources mmdebstrap takes its own, Debian's main mirror.
func (s rootSpec) argv(sources []string) []string {
	argv := []string{"mmdebstrap", "--variant=" + s.variant, "--include=" + strings.Join(s.packages, ","), "--skip=output/mknod"}
	for _, p := range []string{"doc", "man", "info", "locale", "lintian", "bug"} {
		argv = append(argv, "--dpkgopt=path-exclude=/usr/share/"+p+"/*")
	}
	argv = append(argv, s.more...)
	return append(append(argv, s.suite, s.out), sources...)
}

// mmdebstrap makes one root file system as a tar file. Documentation stays out.
func mmdebstrap(ctx context.Context, log io.Writer, s rootSpec) error {
	targets, err := run.Output(ctx, run.Cmd{Argv: append([]string{"apt-get", "indextargets"}, targetsFormat()...), Log: log})
	if err != nil {
		return fmt.Errorf("this machine's Debian mirror: %w", err)
	}
	argv := s.argv(debianSources(targets, s.suite))
	// mmdebstrap pipes every package through a Python script. A developer's PATH may put a version
	// manager before Debian's Python, which then costs more than the unpacking.
	env := []string{"TMPDIR=" + os.TempDir(), "PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if _, err := run.Output(ctx, run.Cmd{Argv: argv, Log: log, Env: env}); err != nil {
		return fmt.Errorf("root file system of Debian %s: %w", s.suite, err)
	}
	return nil
}

// targetsFormat asks apt for what debianSources reads, one repository a line.
// apt-get(8), indextargets.
func targetsFormat() []string {
	return []string{"--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"}
}

// debianSources are apt's source lines for a suite on the mirror that this
// machine itself is set up with. None when it has no Debian mirror, as an
// Ubuntu. Since Debian 11 security updates are in the suite NAME-security.
func debianSources(targets, suite string) []string {
	mirror := map[string]string{}
	for line := range strings.Lines(targets) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) == 3 && f[0] == "Debian" && mirror[f[1]] == "" && strings.Contains(f[2], "://") {
			mirror[f[1]] = f[2]
		}
	}
	if mirror["Debian"] == "" {
		return nil
	}
	sources := []string{sourceLine(mirror["Debian"], suite), sourceLine(mirror["Debian"], suite+"-updates")}
	if security := mirror["Debian-Security"]; security != "" {
		sources = append(sources, sourceLine(security, suite+"-security"))
	}
	return sources
}

func sourceLine(uri, suite string) string {
	return fmt.Sprintf("deb [signed-by=%s] %s %s main", archiveKeyring, uri, suite)
}

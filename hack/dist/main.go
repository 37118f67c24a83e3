// Command dist makes the plugin's archives for every platform, a file with
// their checksums, bills of materials and the krew manifest. The same source gives the same bytes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// project is where releases are published.
const project = "https://github.com/kubectl-ha/kubectl-ha"

// versionPackage has the variables that the linker stamps.
const versionPackage = "github.com/kubectl-ha/kubectl-ha/pkg/program"

// platforms are those of workstations that kubectl itself has.
const platforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64"

// agentArchs are the architectures of hosts, the usual one first.
var agentArchs = []string{"amd64", "arm64"}

// release is one run.
type release struct {
	root, out             string
	version, commit, tags string
	platforms             []platform
	// bills are the files of the bills of materials, one for each archive.
	bills []string
}

// platform is one kind of workstation.
type platform struct{ OS, Arch string }

// Archive is the archive's file name.
func (p platform) Archive() string { return fmt.Sprintf("kubectl-ha_%s_%s.tar.gz", p.OS, p.Arch) }

// Bin is the program's file name.
func (p platform) Bin() string {
	if p.OS == "windows" {
		return "kubectl-ha.exe"
	}
	return "kubectl-ha"
}

func main() {
	var r release
	var wanted string
	flag.StringVar(&r.version, "version", "", "the version, vX.Y.Z")
	flag.StringVar(&r.commit, "commit", "", "the commit")
	flag.StringVar(&r.tags, "tags", "", "build tags")
	flag.StringVar(&r.out, "out", "dist", "the directory to write to")
	flag.StringVar(&wanted, "platforms", platforms, "os/arch,…")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := r.run(ctx, wanted)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func (r *release) run(ctx context.Context, wanted string) error {
	r.root = "."
	for _, p := range strings.Split(wanted, ",") {
		goos, arch, ok := strings.Cut(p, "/")
		if !ok {
			return fmt.Errorf("%q is no os/arch", p)
		}
		r.platforms = append(r.platforms, platform{goos, arch})
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := r.buildAll(ctx); err != nil {
		return err
	}
	sums := map[platform]string{}
	for _, p := range r.platforms {
		sum, err := writeArchive(filepath.Join(r.out, p.Archive()), r.contents(p))
		if err != nil {
			return err
		}
		sums[p] = sum
		bill, err := r.writeSBOM(p)
		if err != nil {
			return err
		}
		r.bills = append(r.bills, bill)
	}
	if err := r.writeManifest(sums); err != nil {
		return err
	}
	if err := r.writeSums(sums); err != nil {
		return err
	}
	fmt.Printf("%s: %d archives with bills of materials, checksums.txt, ha.yaml\n", r.out, len(r.platforms))
	return os.RemoveAll(filepath.Join(r.out, "build"))
}

// buildAll builds the programs, each with the checksums of the agents that were built
// before it, by which it knows them: a program can't have its own checksum in it, nor two
// have each other's. So the usual hosts' comes first and knows none, which is why its
// archive has none; the other hosts' knows that one; and workstations of other kinds know
// both. The agents are the same programs as those of Linux workstations, so that it does
// not matter to a host from where it is managed.
func (r *release) buildAll(ctx context.Context) error {
	var known []string
	for _, p := range r.programs() {
		fmt.Println("building", p.OS+"/"+p.Arch)
		if err := r.build(ctx, p, strings.Join(known, ",")); err != nil {
			return err
		}
		if p.OS != "linux" || !slices.Contains(agentArchs, p.Arch) {
			continue
		}
		sum, err := host.FileSum(r.program(p))
		if err != nil {
			return err
		}
		known = append(known, p.Arch+"="+sum)
	}
	return nil
}

// programs are the platforms to build for: the hosts' that any archive has or is for, in
// the order of agentArchs, then the others that are wanted.
func (r *release) programs() []platform {
	var out []platform
	for _, arch := range agentArchs {
		agent := platform{"linux", arch}
		if slices.ContainsFunc(r.platforms, func(p platform) bool { return p == agent || slices.Contains(agents(p), agent) }) {
			out = append(out, agent)
		}
	}
	for _, p := range r.platforms {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// agents are the programs for hosts that a workstation can't take its own for. The
// usual one, which is that of the usual hosts, goes without.
func agents(p platform) []platform {
	if p == (platform{"linux", "amd64"}) {
		return nil
	}
	var out []platform
	for _, arch := range agentArchs {
		if agent := (platform{"linux", arch}); agent != p {
			out = append(out, agent)
		}
	}
	return out
}

// program is where a platform's program is built.
func (r *release) program(p platform) string {
	return filepath.Join(r.out, "build", p.OS+"_"+p.Arch, p.Bin())
}

// flags are the linker's. The stamp tells a program what its release's agents are.
func (r *release) flags(stamp string) string {
	out := fmt.Sprintf("-s -w -X %s.version=%s -X %s.commit=%s", versionPackage, r.version, versionPackage, r.commit)
	if stamp != "" {
		out += fmt.Sprintf(" -X %s.agentSums=%s", versionPackage, stamp)
	}
	return out
}

func (r *release) build(ctx context.Context, p platform, stamp string) error {
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags="+r.tags, "-ldflags="+r.flags(stamp),
		"-o", r.program(p), "./cmd/kubectl-ha")
	c.Dir, c.Stdout, c.Stderr = r.root, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Arch)
	if err := c.Run(); err != nil {
		return fmt.Errorf("build for %s/%s: %w", p.OS, p.Arch, err)
	}
	return nil
}

// contents are the files of a platform's archive. A workstation that is of another
// kind than the hosts can't give them its own program, so the hosts' come with it.
func (r *release) contents(p platform) []member {
	files := []member{
		{name: p.Bin(), source: r.program(p), mode: 0o755},
		{name: "LICENSE", source: filepath.Join(r.root, "LICENSE"), mode: 0o644},
	}
	if p.OS != "windows" {
		files = append(files, member{name: "kubectl_complete-ha", source: filepath.Join(r.root, "krew", "kubectl_complete-ha"), mode: 0o755})
	}
	for _, agent := range agents(p) {
		files = append(files, member{name: "kubectl-ha-agent-linux-" + agent.Arch, source: r.program(agent), mode: 0o755})
	}
	return files
}

// writeSums writes the sums of all that a release has.
func (r *release) writeSums(sums map[platform]string) error {
	var lines []string
	for p, sum := range sums {
		lines = append(lines, sum+"  "+p.Archive()+"\n")
	}
	for _, file := range append(slices.Clone(r.bills), manifestFile) {
		sum, err := host.FileSum(filepath.Join(r.out, file))
		if err != nil {
			return err
		}
		lines = append(lines, sum+"  "+file+"\n")
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	return os.WriteFile(filepath.Join(r.out, "checksums.txt"), []byte(strings.Join(lines, "")), 0o644)
}

// manifestFile is krew's manifest; who takes it from a release trusts the sums in it.
const manifestFile = "ha.yaml"

func (r *release) writeManifest(sums map[platform]string) error {
	text, err := os.ReadFile(filepath.Join(r.root, "krew", "ha.yaml.tmpl"))
	if err != nil {
		return err
	}
	m := manifest{Version: r.version}
	for _, p := range r.platforms {
		m.Platforms = append(m.Platforms, krewPlatform{OS: p.OS, Arch: p.Arch, Bin: p.Bin(), SHA256: sums[p],
			URI: fmt.Sprintf("%s/releases/download/%s/%s", project, r.version, p.Archive())})
	}
	data, err := m.render(string(text))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, manifestFile), data, 0o644)
}

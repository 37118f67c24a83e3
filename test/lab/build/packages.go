package build

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// need is a Debian package, and a program by which it is known to be there
// when it was not installed as a package. Without one, dpkg is asked.
type need struct{ pkg, program string }

// needs are the packages that a build and a lab want on the machine.
func needs() []need {
	return []need{
		{"docker.io", "dockerd"}, {"docker.io", "docker"}, {"mmdebstrap", "mmdebstrap"},
		{"gcc", "gcc"}, {"libc6-dev", ""}, {"libseccomp-dev", ""}, {"pkg-config", "pkg-config"},
		{"iproute2", "tc"}, {"iptables", "iptables"}, {"nftables", "nft"}, {"e2fsprogs", "mkfs.ext4"}, {"util-linux", "nsenter"},
		{"openssh-client", "ssh"}, {"debian-archive-keyring", ""}, {"ca-certificates", ""},
		// What the product's own tests run.
		{"keepalived", "keepalived"}, {"openssh-server", "sshd"},
		// What an inventory means is Ansible's to say (pkg/inventory's tests).
		{"ansible-core", "ansible-inventory"},
	}
}

// installPackages installs what is missing with apt, and says what is missing
// where there is no apt.
func (b *builder) installPackages(ctx context.Context) error {
	missing := b.missingPackages(ctx)
	if len(missing) > 0 {
		if _, err := exec.LookPath("apt-get"); err != nil {
			return fmt.Errorf("missing: %s. This machine has no apt-get; install them and try again", strings.Join(missing, ", "))
		}
		if err := b.step("apt-get install "+strings.Join(missing, " "), func() error { return aptInstall(ctx, missing) }); err != nil {
			return err
		}
	}
	started, err := b.Docker.EnsureDaemon(ctx, b.Cache.DockerLog())
	if started && err == nil {
		b.line("Docker: started")
	}
	return err
}

// missingPackages returns the packages that are not there, each once.
func (b *builder) missingPackages(ctx context.Context) []string {
	// A Docker that answers may well be somebody else's, without a package.
	docker := b.Docker.Answers(ctx) == nil
	var missing []string
	for _, n := range needs() {
		there := n.pkg == "docker.io" && docker
		if !there && n.program != "" {
			_, err := exec.LookPath(n.program)
			there = err == nil
		}
		if !there && n.program == "" {
			out, err := run.Output(ctx, run.Cmd{Argv: []string{"dpkg-query", "--show", "--showformat", "${db:Status-Status}", n.pkg}})
			there = err == nil && out == "installed"
		}
		if !there && !slices.Contains(missing, n.pkg) {
			missing = append(missing, n.pkg)
		}
	}
	return missing
}

// aptInstall updates apt's lists and installs packages.
func aptInstall(ctx context.Context, packages []string) error {
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	// One of the machine's sources may be out of reach; what matters is
	// whether the packages can be installed after it.
	_, updateErr := run.Output(ctx, run.Cmd{Argv: run.AsRoot("apt-get", "update", "-q"), Env: env})
	argv := append([]string{"apt-get", "install", "-q", "-y", "--no-install-recommends"}, packages...)
	if _, err := run.Output(ctx, run.Cmd{Argv: run.AsRoot(argv...), Env: env}); err != nil {
		if updateErr != nil {
			return fmt.Errorf("%w (and before: %v)", err, updateErr)
		}
		return err
	}
	return nil
}

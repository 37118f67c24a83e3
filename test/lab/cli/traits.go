package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/test/lab/build"
	"github.com/kubectl-ha/kubectl-ha/test/lab/host"
)

// choiceFlag is a flag whose value is a host.Choice.
type choiceFlag struct {
	choice *host.Choice
	parse  func(string) (host.Choice, error)
	kind   string
	text   string
}

// String is the value as it was given.
func (f *choiceFlag) String() string { return f.text }

// Set reads a value.
func (f *choiceFlag) Set(text string) error {
	c, err := f.parse(text)
	if err == nil {
		*f.choice, f.text = c, text
	}
	return err
}

// Type is how help calls the value.
func (f *choiceFlag) Type() string { return f.kind }

// traitFlags adds the flags that say what kinds of hosts are wanted.
func traitFlags(cmd *cobra.Command, w *host.Wishes) {
	value := func(c *host.Choice, name, kind, usage string) {
		cmd.Flags().Var(&choiceFlag{choice: c, parse: host.ParseChoice, kind: kind}, name, usage)
	}
	value(&w.OS, "os", "OS[,HOST=OS...]", "system of all hosts, and of single ones: "+strings.Join(build.HostOSes(), ", ")+
		" (default "+build.DefaultHostOS+"); makes its image where that is missing")
	value(&w.Disk, "disk", "SIZE[,HOST=SIZE...]", "a disk of this size, such as 6G, for /var of all hosts, or of single ones")
	for _, f := range []struct {
		choice      *host.Choice
		name, usage string
	}{
		{&w.Containerd, "containerd", "hosts on which the distribution's own containerd is installed and runs"},
		{&w.NFTablesOnly, "nftables-only", "hosts with nft, and no iptables of any kind"},
		{&w.NAT, "nat", "hosts whose default route leads over a second network interface, " + host.NATDevice},
		{&w.NoexecVar, "noexec-var", "hosts on which no program can be started from /var"},
	} {
		cmd.Flags().Var(&choiceFlag{choice: f.choice, parse: host.ParseHosts, kind: "HOST,..."}, f.name, f.usage+" (without a value: all hosts)")
		cmd.Flags().Lookup(f.name).NoOptDefVal = "all"
	}
}

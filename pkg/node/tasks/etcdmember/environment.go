package etcdmember

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// initialCluster is the flag that lists the members.
const initialCluster = "initial-cluster"

// variable is the name under which etcd looks for a flag in its environment.
// https://etcd.io/docs/v3.6/op-guide/configuration/
func variable(flag string) string {
	return "ETCD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// quoting is what has a meaning within double quotes, for systemd and a shell alike.
// https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#EnvironmentFile=
var quoting = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$", `\$`)

// environment writes settings so that both systemd and a shell (". FILE") read them.
// No value has a line break.
func environment(settings map[string]string) []byte {
	var b strings.Builder
	b.WriteString("# Written by kubectl ha: etcd's flags. Change spec.etcd of the Cluster file instead.\n")
	for _, flag := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s=\"%s\"\n", variable(flag), quoting.Replace(settings[flag]))
	}
	return []byte(b.String())
}

// Setting reads the value of a flag from what environment wrote; empty when it is
// not set.
func Setting(config []byte, flag string) string {
	for line := range strings.Lines(string(config)) {
		quoted, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), variable(flag)+"=\"")
		if !ok {
			continue
		}
		var b strings.Builder
		escaped := false
		for _, r := range strings.TrimSuffix(quoted, `"`) {
			if r == '\\' && !escaped {
				escaped = true
				continue
			}
			b.WriteRune(r)
			escaped = false
		}
		return b.String()
	}
	return ""
}

// withSetting replaces the value of a flag that is set.
func withSetting(config []byte, flag, value string) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(config)) {
		if strings.HasPrefix(line, variable(flag)+"=") {
			line = fmt.Sprintf("%s=\"%s\"\n", variable(flag), quoting.Replace(value))
		}
		b.WriteString(line)
	}
	return []byte(b.String())
}

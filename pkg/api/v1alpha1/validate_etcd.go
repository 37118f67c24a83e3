package v1alpha1

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	parsedversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/flagtable"
)

// OwnEtcdFlags are the flags that kubectl-ha sets itself; another value would break
// the member, or the cluster: its name and data, who the members are and where, its
// identity, the guard of etcd#10499, and what ends etcd at once.
func OwnEtcdFlags() []string {
	return []string{
		"name", "data-dir", "config-file", "listen-client-urls", "listen-peer-urls", "advertise-client-urls",
		"initial-advertise-peer-urls", "initial-cluster", "initial-cluster-state", "initial-cluster-token",
		"cert-file", "key-file", "trusted-ca-file", "client-cert-auth", "auto-tls",
		"peer-cert-file", "peer-key-file", "peer-trusted-ca-file", "peer-client-cert-auth", "peer-auto-tls",
		"client-transport-security", "peer-transport-security",
		"discovery", "discovery-fallback", "discovery-proxy", "discovery-srv", "discovery-srv-name", "discovery-endpoints", "proxy",
		"strict-reconfig-check", "force-new-cluster", "version", "help",
	}
}

var flagName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

func (v *validator) etcd() {
	e := v.c.Spec.Etcd
	switch e.Topology {
	case EtcdExternal:
	case EtcdStacked:
		v.stacked()
	default:
		v.oneOf("spec.etcd.topology", string(e.Topology), string(EtcdExternal), string(EtcdStacked))
	}
	if e.Version != "" && !versionSyntax.MatchString(e.Version) {
		v.fail("spec.etcd.version", "%q is no version; write it like v3.6.16", e.Version)
	}
	if !cleanAbsolute(e.DataDir) {
		v.fail("spec.etcd.dataDir", "%q is no absolute, clean path", e.DataDir)
	}
	v.add(CheckEtcdArgs(e.ExtraArgs, e.Version))
}

// stacked: kubeadm has a member on every control plane, and on no other host.
func (v *validator) stacked() {
	for i, h := range v.c.Spec.Hosts {
		if h.Has(RoleEtcd) && !h.Has(RoleControlPlane) {
			v.fail(fmt.Sprintf("spec.hosts[%d].roles", i), "%s has the role %s and is no control plane, but with spec.etcd.topology %s the control planes are the members; remove the role, or use %s",
				h.Name, RoleEtcd, EtcdStacked, EtcdExternal)
		}
	}
}

// add takes over what another check has found.
func (v *validator) add(errs FieldErrors, warnings []FieldWarning) {
	v.errs, v.warnings = append(v.errs, errs...), append(v.warnings, warnings...)
}

// CheckEtcdArgs finds the further flags that etcd of a version such as v3.6.16 does
// not have, their values that are not of the flag's type, and what is not the
// user's to set. Without a version (the bundle brings etcd, and is not there yet)
// any version that is known may have them.
func CheckEtcdArgs(args map[string]string, version string) (FieldErrors, []FieldWarning) {
	const at = "spec.etcd.extraArgs"
	v := &validator{}
	flags := flagtable.FlagsOf("etcd")
	for _, flag := range sortedKeys(args) {
		switch {
		case strings.HasPrefix(flag, "-"):
			v.fail(at, "%q: write the flag without the leading dashes", flag)
			continue
		case !flagName.MatchString(flag):
			v.fail(at, "%q is no flag's name", flag)
			continue
		case slices.Contains(OwnEtcdFlags(), flag):
			v.fail(at, "%s is set by kubectl ha and can't be changed", flag)
			continue
		}
		switch p := flags.Check(flagtable.Minor(version), flag, args[flag]); {
		case p.Message == "":
		case p.Untold:
			v.warn(at, "%s", p.Message)
		default:
			v.fail(at, "%s", p.Message)
		}
	}
	// https://github.com/etcd-io/etcd/security/advisories/GHSA-3wh4-j44w-pg92
	if minor := flagtable.Minor(version); args["client-crl-file"] != "" && args["listen-client-http-urls"] != "" && olderThan(version, revoking[minor]) {
		v.fail(at, "client-crl-file is not looked at by etcd %s when listen-client-http-urls is set; take %s or later", version, revoking[minor])
	}
	return v.errs, v.warnings
}

// revoking are the first versions of etcd whose gRPC listener of its own looks at
// client-crl-file; all later minor versions do.
var revoking = map[string]string{"3.5": "v3.5.32", "3.6": "v3.6.13"}

func olderThan(version, first string) bool {
	v, err := parsedversion.ParseGeneric(version)
	if err != nil || first == "" {
		return false
	}
	older, err := v.Compare(first)
	return err == nil && older < 0
}

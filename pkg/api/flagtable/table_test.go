package flagtable

import (
	"strings"
	"testing"
)

func TestFlagsCheck(t *testing.T) {
	for _, tc := range []struct {
		program, minor, name, value string
		want                        string
		newer                       bool
	}{
		{"etcd", "3.5", "corrupt-check-time", "1h", "etcd 3.5 has no flag corrupt-check-time, only 3.6 and later", true},
		{"etcd", "3.7", "corrupt-check-time", "1h", "", false},
		{"etcd", "3.7", "corrupt-check-time", "3600000000000", `corrupt-check-time="3600000000000": must be a duration`, false},
		{"etcd", "3.6", "experimental-corrupt-check-time", "1h", "", false},
		{"etcd", "3.7", "experimental-corrupt-check-time", "1h", "has no flag experimental-corrupt-check-time any more, 3.6 was the last", false},
		{"etcd", "3.6", "grpc-keepalive-timeout", "20s", "", false},
		{"etcd", "3.6", "client-crl-file", "/etc/etcd/crl.pem", "", false},
		{"etcd", "3.6", "client-crl-fil", "/etc/etcd/crl.pem", "etcd 3.6 has no flag client-crl-fil, did you mean client-crl-file?", false},
		{"etcd", "", "client-crl-fil", "x", "etcd has no flag client-crl-fil, did you mean client-crl-file?", false},
		{"etcd", "", "experimental-corrupt-check-time", "1h", "", false},
		{"etcd", "3.8", "brand-new", "x", "not known here, nor is etcd 3.8", true},
		{"etcd", "3.8", "snapshot-count", "x", "must be a whole number", false},
		{"etcd", "3.6", "v", "4", "has no flag v", false}, // It takes it, and does nothing.
		{"etcd", "3.6", "pre-vote", "yes", "must be true or false", false},
		{"etcd", "3.6", "heartbeat-interval", "-1", "not negative", false},
		{"kube-apiserver", "1.36", "audit-log-maxage", "30", "", false},
		{"kube-apiserver", "1.36", "audit-log-maxage", "30d", "whole number", false},
		{"kube-apiserver", "1.36", "audit-log-max-age", "30", "did you mean audit-log-maxage?", false},
		{"kube-scheduler", "1.36", "audit-log-maxage", "30", "kube-scheduler 1.36 has no flag", false},
		{"kubelet", "1.36", "feature-gates", "A", "a list such as NameA=true", false},
		{"kubelet", "1.36", "feature-gates", "kube:NodeSwap=true", "a list such as NameA=true", false}, // Others take the component.
	} {
		p := FlagsOf(tc.program).Check(tc.minor, tc.name, tc.value)
		if tc.want == "" && p.Message != "" || !strings.Contains(p.Message, tc.want) || (p.Newer || p.Untold) != tc.newer {
			t.Errorf("%s %s --%s=%s: %+v, want %q", tc.program, tc.minor, tc.name, tc.value, p, tc.want)
		}
	}
}

func TestGates(t *testing.T) {
	for _, tc := range []struct {
		gates       Gates
		minor, name string
		on          bool
		want        string
		newer, gone bool
	}{
		{KubeadmGates(), "1.36", "NodeLocalCRISocket", true, "", false, false},
		{KubeadmGates(), "1.36", "NodeLocalCRISocket", false, "locked to true", false, false},
		{KubeadmGates(), "1.37", "NodeLocalCRISocket", true, "has no feature gate NodeLocalCRISocket any more, 1.36 was the last", false, true},
		{KubeadmGates(), "1.36", "NodeLocalCRISockets", true, "did you mean NodeLocalCRISocket?", false, false},
		{ComponentGates(), "1.37", "AnyVolumeDataSource", true, "any more", false, true},
		{ComponentGates(), "1.34", "AtomicFIFO", true, "only 1.36 and later", true, false},
		{ComponentGates(), "1.36", "AllAlpha", true, "", false, false},
		{ComponentGates(), "1.38", "AnyVolumeDataSource", true, "not known here", true, false},
	} {
		p := tc.gates.Check(tc.minor, tc.name, tc.on)
		if tc.want == "" && p.Message != "" || !strings.Contains(p.Message, tc.want) || (p.Newer || p.Untold) != tc.newer {
			t.Errorf("%s in %s: %+v, want %q", tc.name, tc.minor, p, tc.want)
		}
		if gone := tc.gates.Gone(tc.minor, tc.name); gone != tc.gone {
			t.Errorf("%s in %s is gone: %v", tc.name, tc.minor, gone)
		}
	}
}

func TestFieldsCheck(t *testing.T) {
	arg := func(name string) []any { return []any{map[string]any{"name": name, "value": "x"}} }
	for _, tc := range []struct {
		document, minor string
		value           map[string]any
		want            string
	}{
		{"ClusterConfiguration", "1.36", map[string]any{"apiServer": map[string]any{"extraArgs": arg("v")}}, ""},
		{"ClusterConfiguration", "1.36", map[string]any{"apiserver": map[string]any{}}, "apiserver: ClusterConfiguration 1.36 has no field apiserver, did you mean apiServer?"},
		{"ClusterConfiguration", "1.36", map[string]any{"apiServer": map[string]any{"extraVolumes": []any{map[string]any{"hostpath": "/x"}}}},
			"apiServer.extraVolumes[0].hostpath: ClusterConfiguration 1.36 has no field hostpath, did you mean hostPath?"},
		{"ClusterConfiguration", "1.36", map[string]any{"apiServer": []any{}}, "apiServer: a list: must be fields"},
		{"KubeletConfiguration", "1.36", map[string]any{"maxPods": "250"}, `maxPods: "250": must be a whole number, without quotes`},
		{"KubeletConfiguration", "1.36", map[string]any{"maxPods": float64(250)}, ""},
		{"KubeletConfiguration", "1.34", map[string]any{"memoryReservationPolicy": "x"}, "only 1.36 and later have it"},
		{"InitConfiguration", "1.36", map[string]any{"nodeRegistration": map[string]any{"taints": []any{map[string]any{"key": "x"}}}}, ""},
		{"JoinConfiguration", "1.36", map[string]any{"timeouts": map[string]any{"discovery": "5"}}, "timeouts.discovery: \"5\": must be a duration"},
	} {
		var got []string
		for _, p := range FieldsOf(tc.document).Check(tc.minor, tc.value) {
			got = append(got, p.Path+": "+p.Message)
		}
		if text := strings.Join(got, "\n"); tc.want == "" && text != "" || !strings.Contains(text, tc.want) {
			t.Errorf("%v: %q, want %q", tc.value, text, tc.want)
		}
	}
}

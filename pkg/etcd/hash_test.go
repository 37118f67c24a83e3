package etcd

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestJudgeHashes(t *testing.T) {
	h := func(name string, hash uint32, compacted int64) Hash {
		return Hash{Endpoint: name, Hash: hash, Compacted: compacted}
	}
	for name, tc := range map[string]struct {
		all     []Hash
		differs string
		unclear bool
		again   bool
		says    string
	}{
		"all equal":                {[]Hash{h("a", 1, 5), h("b", 1, 5), h("c", 1, 5)}, "", false, false, ""},
		"one differs":              {[]Hash{h("a", 1, 5), h("b", 2, 5), h("c", 1, 5)}, "b", false, false, "other data than the others at revision 7: b"},
		"two of five":              {[]Hash{h("a", 1, 5), h("b", 2, 5), h("c", 1, 5), h("d", 3, 5), h("e", 1, 5)}, "b d", false, false, "b, d"},
		"two members":              {[]Hash{h("a", 1, 5), h("b", 2, 5)}, "a b", true, false, "no hash has a majority"},
		"all different":            {[]Hash{h("a", 1, 5), h("b", 2, 5), h("c", 3, 5)}, "a b c", true, false, "no hash has a majority"},
		"one is being compacted":   {[]Hash{h("a", 1, 5), h("b", 2, 6), h("c", 1, 5)}, "", false, true, "compacted up to different"},
		"one lags":                 {[]Hash{h("a", 1, 5), {Endpoint: "b", Error: "future", wait: true}, h("c", 1, 5)}, "", false, true, "b tells no hash"},
		"one is away":              {[]Hash{h("a", 1, 5), {Endpoint: "b", Error: "refused"}, h("c", 1, 5)}, "", false, false, "b tells no hash"},
		"one is away, one differs": {[]Hash{h("a", 1, 5), {Endpoint: "b", Error: "refused"}, h("c", 2, 5)}, "a c", true, false, "no hash has a majority"},
		"a hash of zero":           {[]Hash{h("a", 0, 5), h("b", 0, 5), h("c", 4, 5)}, "c", false, false, ": c"},
	} {
		got, again := judgeHashes(7, tc.all)
		err := got.Err()
		if strings.Join(got.Differs, " ") != tc.differs || got.Unclear != tc.unclear || again != tc.again || (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %+v, again %v, %v", name, got, again, err)
		}
	}
}

func TestPrefixOf(t *testing.T) {
	for key, want := range map[string]string{
		"/registry/events/default/a.1":                     "/registry/events/",
		"/registry/pods/kube-system/x":                     "/registry/pods/",
		"/registry/apiregistration.k8s.io/apiservices/v1.": "/registry/apiregistration.k8s.io/apiservices/",
		"/registry/ranges/serviceips":                      "/registry/ranges/",
		"/registry/health":                                 "/registry/",
		"compact_rev_key":                                  "",
		"/registry/kubectl-ha.dev/operations/upgrade-1":    "/registry/kubectl-ha.dev/operations/",
		"/registry/masterleases/10.0.0.11":                 "/registry/masterleases/",
	} {
		if got := prefixOf(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

// TestReport: what was seen comes back from a report, also over JSON, as far as plans need it.
func TestReport(t *testing.T) {
	v := at("3.6.16", "3.6.16", "3.6.16")
	v.Status[0].RaftIndex, v.Status[0].Applied, v.Status[1].RaftIndex, v.Status[1].Applied = 100, 100, 98, 95
	v.Status[0].Alarms = []Alarm{{MemberID: 2, Kind: AlarmNoSpace}}
	v.Status[2] = MemberStatus{Endpoint: v.Status[2].Endpoint, Err: errors.New("no answer within 3s")}
	v.Members = append(v.Members, Member{ID: 0xabc, PeerURLs: []string{"https://10.0.0.14:2380"}, Learner: true})
	r := v.Report()
	if len(r.Members) != 4 || !r.Quorum || r.Spare != 0 || r.ClusterID != "9" || !strings.Contains(r.Unwell, "does not answer") {
		t.Fatalf("%+v", r)
	}
	if m := r.Members[0]; !m.Leader || m.Name != "m1" || m.FreeBytes != 40 || m.FreeShare() != 0.4 || m.Lag != 0 || m.StorageVersion != "3.6.0" {
		t.Errorf("%+v", m)
	}
	if m := r.Members[1]; m.Lag != 5 || !slices.Equal(m.Alarms, []string{AlarmNoSpace}) {
		t.Errorf("%+v", m)
	}
	if m := r.Members[2]; m.Error == "" || m.Name != "m3" || !m.Started || m.Version != "" {
		t.Errorf("one that is away: %+v", m)
	}
	if m := r.Members[3]; m.Started || m.ID != "abc" || !m.Learner || m.Endpoint != "" {
		t.Errorf("one that was never started: %+v", m)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	again := back.View()
	if !reflect.DeepEqual(again.Alarms(), v.Alarms()) || len(again.Members) != 4 || (Healthy(again) == nil) != (Healthy(v) == nil) {
		t.Errorf("%+v", again)
	}
	if got, want := CheckUpgrade(again, "v3.7.3"), CheckUpgrade(v, "v3.7.3"); len(got) != len(want) {
		t.Errorf("it is judged otherwise: %+v, %+v", got, want)
	}
	if err := Serving(at("3.6.16", "3.6.16", "3.6.16")); err != nil {
		t.Error(err)
	}
	full := at("3.6.16", "3.6.16", "3.6.16")
	full.Status[0].Alarms = []Alarm{{MemberID: 1, Kind: AlarmNoSpace}}
	if Serving(full) != nil || Healthy(full) == nil {
		t.Error("an alarm is no reason not to defragment, and one not to be well")
	}
}

// TestButFull: what a full etcd needs may be other settings; what is corrupt is left alone.
func TestButFull(t *testing.T) {
	for kind, well := range map[string]bool{AlarmNoSpace: true, AlarmCorrupt: false} {
		v := at("3.6.16", "3.6.16", "3.6.16")
		v.Status[0].Alarms = []Alarm{{MemberID: 1, Kind: kind}}
		if err := ButFull(v); (err == nil) != well {
			t.Errorf("%s: %v", kind, err)
		}
		if len(v.Alarms()) != 1 {
			t.Error("the alarm is gone from what was seen")
		}
		pair := at("3.6.16", "3.6.16")
		pair.Status[1].Alarms = []Alarm{{MemberID: 1, Kind: kind}}
		if err := Spare(pair, pair.Status[0].Endpoint); (err == nil) != well {
			t.Errorf("of two, with %s: %v", kind, err)
		}
	}
}

package certs

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

func TestRotationPhases(t *testing.T) {
	const trust, issue, finish = certs.PhaseTrust, certs.PhaseIssue, certs.PhaseFinish
	for name, c := range map[string]struct {
		state rotationState
		until certs.Phase
		back  bool
		want  string
		err   string
	}{
		"from nothing":              {rotationState{}, "", false, "trust issue finish", ""},
		"until trust":               {rotationState{}, trust, false, "trust", ""},
		"on from trust":             {rotationState{begun: trust, reached: trust}, "", false, "issue finish", ""},
		"trust again":               {rotationState{begun: trust, reached: trust}, trust, false, "", ""},
		"issue was not completed":   {rotationState{begun: issue, reached: trust}, issue, false, "issue", ""},
		"finish was not completed":  {rotationState{begun: finish, reached: issue}, "", false, "finish", ""},
		"an earlier phase":          {rotationState{begun: issue, reached: issue}, trust, false, "", ""},
		"back from nothing":         {rotationState{}, "", true, "finish", ""},
		"back from trust":           {rotationState{begun: trust, reached: trust}, "", true, "finish", ""},
		"back from a part of trust": {rotationState{begun: trust}, "", true, "finish", ""},
		"back from a part of issue": {rotationState{begun: issue, reached: trust}, "", true, "issue finish", ""},
		"back from issue":           {rotationState{begun: issue, reached: issue}, "", true, "issue finish", ""},
		"back from finish":          {rotationState{begun: finish, reached: issue}, "", true, "", "complete the rotation instead"},
		"on while it goes back":     {rotationState{begun: issue, reached: issue, back: true}, "", false, "", "being taken back"},
		"back, issued anew":         {rotationState{begun: issue, reached: issue, back: true, undone: issue}, "", true, "finish", ""},
		"back again":                {rotationState{begun: issue, reached: issue, back: true}, "", true, "issue finish", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.state.phases(c.until, c.back)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || strings.ReplaceAll(names(got), ",", "") != c.want {
				t.Errorf("got %v, %v; want %s", got, err, c.want)
			}
		})
	}
}

// TestRotationIsTakenBackInPart: what was completed on the way back is remembered, since hosts that are
// at its end can't do it again; and nobody goes on forwards meanwhile.
func TestRotationIsTakenBackInPart(t *testing.T) {
	kube := fake.NewClientset()
	ctx := t.Context()
	s := rotationState{authority: certs.AuthorityKubernetes, from: ca(t), to: ca(t)}
	read := func() rotationState {
		t.Helper()
		now, err := readRotation(ctx, kube, certs.AuthorityKubernetes)
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	for _, err := range []error{s.write(ctx, kube), s.begin(ctx, kube, certs.PhaseTrust, false), s.reach(ctx, kube, certs.PhaseTrust), s.begin(ctx, kube, certs.PhaseIssue, false)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	other, undo := read(), read()
	for _, err := range []error{undo.begin(ctx, kube, certs.PhaseIssue, true), undo.reach(ctx, kube, certs.PhaseIssue), undo.begin(ctx, kube, certs.PhaseFinish, true)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, err := read().phases("", true); err != nil || names(got) != "finish" {
		t.Errorf("killed in the last phase, it goes on with %v, %v", got, err)
	}
	if err := other.begin(ctx, kube, certs.PhaseFinish, false); err == nil || !read().back {
		t.Errorf("somebody has gone on forwards: %v", err)
	}
	// Nor is that taken back which somebody else is about to complete.
	kube = fake.NewClientset()
	s = rotationState{authority: certs.AuthorityKubernetes, from: ca(t), to: ca(t)}
	if err := errors.Join(s.write(ctx, kube), s.begin(ctx, kube, certs.PhaseIssue, false)); err != nil {
		t.Fatal(err)
	}
	undo = read()
	if err := errors.Join(s.reach(ctx, kube, certs.PhaseIssue), s.begin(ctx, kube, certs.PhaseFinish, false)); err != nil {
		t.Fatal(err)
	}
	if err := undo.begin(ctx, kube, certs.PhaseIssue, true); err == nil || read().back {
		t.Errorf("it is taken back while it is completed: %v", err)
	}
}

// TestPublishedByTheServersClock: a clock of this machine that is wrong makes no pod pass for one that
// was started since.
func TestPublishedByTheServersClock(t *testing.T) {
	kube := fake.NewClientset()
	s := rotationState{authority: certs.AuthorityKubernetes, from: ca(t), to: ca(t)}
	if err := s.write(t.Context(), kube); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []time.Duration{-time.Hour, time.Hour} {
		s.published = time.Time{}
		server := time.Now().Truncate(time.Second) // The fake one notes the time as a real one does.
		if err := s.publish(t.Context(), kube, server.Add(wrong)); err != nil {
			t.Fatal(err)
		}
		now, err := readRotation(t.Context(), kube, certs.AuthorityKubernetes)
		if err != nil || now.published.Sub(server) < time.Second || now.published.Sub(server) > 10*time.Minute {
			t.Errorf("this clock is wrong by %v: published %v, %v", wrong, now.published, err)
		}
	}
}

func ca(t *testing.T) []byte {
	t.Helper()
	pair, err := pki.NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	return pair.CertPEM
}

// TestSetBundles: only what has CAs of the rotation, and nothing else, is changed.
func TestSetBundles(t *testing.T) {
	from, to, other := ca(t), ca(t), ca(t)
	w := &rotating{RotateOptions: RotateOptions{Authority: certs.AuthorityKubernetes}, state: rotationState{from: from, to: to}}
	both := append(append([]byte{}, from...), to...)
	for name, c := range map[string]struct {
		is    []byte
		phase certs.Phase
		want  []byte
	}{
		"the former one":       {from, certs.PhaseTrust, both},
		"both already":         {append(append([]byte{}, to...), from...), certs.PhaseTrust, nil},
		"at the end":           {both, certs.PhaseFinish, to},
		"somebody else's":      {other, certs.PhaseTrust, nil},
		"somebody else's, too": {append(append([]byte{}, from...), other...), certs.PhaseFinish, nil},
		"none":                 {[]byte("x"), certs.PhaseTrust, nil},
	} {
		t.Run(name, func(t *testing.T) {
			text := base64.StdEncoding.EncodeToString(c.is)
			object := map[string]any{"spec": map[string]any{"caBundle": text, "n": int64(1)}, "webhooks": []any{map[string]any{"clientConfig": map[string]any{"caBundle": text}}}, "caBundle": map[string]any{}}
			changed := setBundles(object, w.inBundle(c.phase))
			want := text
			if c.want != nil {
				want = base64.StdEncoding.EncodeToString(c.want)
			}
			hook := object["webhooks"].([]any)[0].(map[string]any)["clientConfig"].(map[string]any)["caBundle"]
			if got := object["spec"].(map[string]any)["caBundle"]; got != want || hook != want || changed != (c.want != nil) {
				t.Errorf("changed: %t, got %s\nwant %s", changed, got, want)
			}
		})
	}
}

func TestParseWorkloads(t *testing.T) {
	for text, want := range map[string]string{
		"shop": "shop", "shop/deployment": "shop/deployment", "shop/Deployments": "shop/deployment", "shop/statefulset/db": "shop/statefulset/db",
		"": "", "shop/": "", "shop/job": "", "shop/deployment/a/b": "", "/deployment": "",
	} {
		got, err := parseWorkloads(text)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("%q: got %s, %v", text, got, err)
		}
	}
}

func TestStartedBefore(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	yes, started := true, func(after time.Duration) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at.Add(after))}}}
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-6d4-x", Labels: map[string]string{"pod-template-hash": "6d4"},
		OwnerReferences: []metav1.OwnerReference{{Kind: "Other", Name: "x"}, {Kind: "ReplicaSet", Name: "web-6d4", Controller: &yes}}}}
	p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: rootCA}}}}}}}}
	if !mountsCA(p) || mountsCA(&corev1.Pod{}) {
		t.Error("who mounts the CA")
	}
	if got := owner(p).String(); got != "shop/deployment/web" {
		t.Errorf("got %s", got)
	}
	if got := owner(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b"}}).String(); got != "a/pod/b" {
		t.Errorf("got %s", got)
	}
	for name, c := range map[string]struct {
		all  []corev1.ContainerStatus
		want bool
	}{
		"all since":       {[]corev1.ContainerStatus{started(time.Second), started(time.Hour)}, false},
		"one is older":    {[]corev1.ContainerStatus{started(time.Second), started(-time.Second)}, true},
		"none runs":       {[]corev1.ContainerStatus{{}}, false},
		"nothing is told": {nil, false},
	} {
		p.Status.ContainerStatuses = c.all
		if got := startedBefore(p, at); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

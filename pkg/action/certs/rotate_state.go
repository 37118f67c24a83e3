package certs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// rotationState is how far a rotation is. It is kept in the ConfigMap rotation-AUTHORITY of
// ha-system from the beginning of the rotation to its end.
type rotationState struct {
	authority certs.Authority
	// from and to are the two authorities, PEM; nil before they are known.
	from, to []byte
	// begun is the last phase that was begun, reached the last one that was completed.
	begun, reached certs.Phase
	// back: it is being taken back. undone is the last phase that was completed on that way.
	back   bool
	undone certs.Phase
	// published is when both CAs were in every namespace: pods that were started since have both.
	published time.Time
	exists    bool
}

const (
	keyFrom, keyTo       = "from", "to"
	keyBegun, keyReached = "begun", "reached"
	keyBack, keyUndone   = "back", "undone"
	keyPublished         = "published"
	keyAsked             = "asked"
)

func rotationName(a certs.Authority) string { return "rotation-" + string(a) }

// readRotation reads how far a rotation is. Without one the state is empty.
func readRotation(ctx context.Context, kube kubernetes.Interface, a certs.Authority) (rotationState, error) {
	s := rotationState{authority: a}
	m, err := kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Get(ctx, rotationName(a), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read how far the rotation is: %w", err)
	}
	s.exists, s.back = true, m.Data[keyBack] != ""
	s.from, s.to = []byte(m.Data[keyFrom]), []byte(m.Data[keyTo])
	s.begun, s.reached, s.undone = certs.Phase(m.Data[keyBegun]), certs.Phase(m.Data[keyReached]), certs.Phase(m.Data[keyUndone])
	if len(s.from) == 0 || len(s.to) == 0 {
		return s, fmt.Errorf("the ConfigMap %s/%s does not say which authority is replaced by which one: it was changed by somebody else", v1alpha1.SystemNamespace, rotationName(a))
	}
	if at := m.Data[keyPublished]; at != "" {
		if s.published, err = time.Parse(time.RFC3339, at); err != nil {
			return s, fmt.Errorf("the ConfigMap %s/%s: %w", v1alpha1.SystemNamespace, rotationName(a), err)
		}
	}
	return s, nil
}

// phases are those that are still to be carried out. It is pure.
//
// Forwards they are those after the one that was reached, up to until; one that was begun and
// not completed is carried out again. Backwards, what was issued is issued anew by the former
// authority, and then only that is trusted. Once all is issued anew that is not done again: hosts that
// trust the former authority alone have no key of the other any more.
func (s rotationState) phases(until certs.Phase, back bool) ([]certs.Phase, error) {
	all := certs.Phases()
	if until == "" {
		until = certs.PhaseFinish
	}
	switch {
	case back && s.begun == certs.PhaseFinish && !s.back:
		return nil, errors.New("the last phase has begun, and the former authority is not trusted everywhere any more: complete the rotation instead")
	case !back && s.back:
		return nil, errors.New("this rotation is being taken back: complete that with --undo first")
	case back && s.begun == certs.PhaseTrust, back && s.begun == "", back && s.undone == certs.PhaseIssue:
		return []certs.Phase{certs.PhaseFinish}, nil
	case back:
		return []certs.Phase{certs.PhaseIssue, certs.PhaseFinish}, nil
	}
	from := slices.Index(all, s.reached) + 1
	to := slices.Index(all, until) + 1
	if to <= from {
		return nil, nil
	}
	return all[from:to], nil
}

// write creates the record, unless it exists.
func (s *rotationState) write(ctx context.Context, kube kubernetes.Interface) error {
	if s.exists {
		return nil
	}
	_, err := kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: rotationName(s.authority)}, Data: map[string]string{keyFrom: string(s.from), keyTo: string(s.to)},
	}, metav1.CreateOptions{FieldManager: apply.FieldManager})
	if apierrors.IsAlreadyExists(err) {
		return errors.New("somebody else has begun a rotation of this authority a moment ago; run the command again to continue it")
	}
	if err != nil {
		return fmt.Errorf("note that the rotation has begun: %w", err)
	}
	s.exists = true
	return nil
}

// begin notes that a phase has begun, unless somebody has taken another way since the plan was made.
func (s *rotationState) begin(ctx context.Context, kube kubernetes.Interface, phase certs.Phase, back bool) error {
	return s.change(ctx, kube, func(data map[string]string) error {
		switch goesBack := data[keyBack] != ""; {
		case goesBack && !back:
			return errors.New("somebody else has begun to take this rotation back")
		case back && !goesBack && certs.Phase(data[keyBegun]) != s.begun:
			return fmt.Errorf("somebody else has begun the phase %s of this rotation; run the command again", data[keyBegun])
		}
		if back {
			data[keyBack], s.back = "true", true
			return nil // How far it came forwards says what is to be taken back.
		}
		data[keyBegun], s.begun = string(phase), phase
		return nil
	})
}

// reach notes that a phase is complete. After the last one there is no rotation any more.
func (s *rotationState) reach(ctx context.Context, kube kubernetes.Interface, phase certs.Phase) error {
	if phase == certs.PhaseFinish {
		err := kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Delete(ctx, rotationName(s.authority), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("note that the rotation is complete: %w", err)
		}
		return nil
	}
	return s.change(ctx, kube, func(data map[string]string) error {
		if s.back {
			data[keyUndone], s.undone = string(phase), phase
		} else {
			data[keyReached], s.reached = string(phase), phase
		}
		return nil
	})
}

// publish notes that both CAs are in every namespace, the first time that they are. The time is that
// of the API server, which pods' times are compared with: this machine's clock, of now, may be behind,
// and pods that were started before would pass for such that have both.
func (s *rotationState) publish(ctx context.Context, kube kubernetes.Interface, now time.Time) error {
	if s.back || !s.published.IsZero() {
		return nil
	}
	var seen time.Time
	if err := s.changeTo(ctx, kube, func(data map[string]string) error {
		data[keyAsked] = now.UTC().Format(time.RFC3339Nano) // Something has to change for it to note the time.
		return nil
	}, func(m *corev1.ConfigMap) { seen = written(m) }); err != nil {
		return err
	}
	if !seen.IsZero() {
		now = seen.Add(time.Second) // It has no parts of seconds, and neither have pods' times.
	}
	return s.change(ctx, kube, func(data map[string]string) error {
		delete(data, keyAsked)
		s.published, data[keyPublished] = now, now.UTC().Format(time.RFC3339)
		return nil
	})
}

// written is when an object was last written, as the API server has it; zero when it does not say.
func written(m *corev1.ConfigMap) time.Time {
	var last time.Time
	for _, f := range m.ManagedFields {
		if f.Time != nil && f.Time.After(last) {
			last = f.Time.Time
		}
	}
	return last
}

func (s *rotationState) change(ctx context.Context, kube kubernetes.Interface, change func(map[string]string) error) error {
	return s.changeTo(ctx, kube, change, func(*corev1.ConfigMap) {})
}

// changeTo is change, and hands on what it has become.
func (s *rotationState) changeTo(ctx context.Context, kube kubernetes.Interface, change func(map[string]string) error, became func(*corev1.ConfigMap)) error {
	api := kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace)
	m, err := api.Get(ctx, rotationName(s.authority), metav1.GetOptions{})
	if err == nil {
		if err := change(m.Data); err != nil {
			return action.As(action.Findings, err)
		}
		if m, err = api.Update(ctx, m, metav1.UpdateOptions{FieldManager: apply.FieldManager}); err == nil {
			became(m)
		}
	}
	if err != nil {
		return fmt.Errorf("note how far the rotation is: %w", err)
	}
	return nil
}

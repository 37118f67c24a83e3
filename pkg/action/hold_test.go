package action

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/claimtest"
)

// refusing makes no claim, for that reason.
type refusing struct{ err error }

func (r refusing) Hold(context.Context, string, string) (*operations.Hold, error) { return nil, r.err }

// TestNotHeld: somebody else's work ends a command. What else keeps the claim from being made does only
// where it is required: etcd that is full, without a leader or away could not be mended else.
func TestNotHeld(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	join := func(b *operations.BusyError) bool { return b.Type == v1alpha1.OperationJoin }
	for name, tc := range map[string]struct {
		ctx       context.Context
		h         Hold
		err       error
		ends      bool
		kind      Kind
		warns     bool
		cancelled bool
	}{
		"an operation":              {err: &operations.BusyError{Name: "upgrade-a", Type: v1alpha1.OperationUpgrade}, ends: true},
		"a command":                 {err: &operations.BusyError{Command: "kubectl ha etcd apply on a"}, ends: true},
		"one that passes":           {h: Hold{Passes: join}, err: &operations.BusyError{Name: "join-a", Type: v1alpha1.OperationJoin}},
		"one that does not pass":    {h: Hold{Passes: join}, err: &operations.BusyError{Name: "upgrade-a", Type: v1alpha1.OperationUpgrade}, ends: true},
		"a command, to who mends":   {h: Hold{Mends: true}, err: &operations.BusyError{Command: "kubectl ha etcd apply on a"}, ends: true},
		"interrupted":               {ctx: stopped, err: context.Canceled, ends: true, cancelled: true},
		"full":                      {err: &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 500, Message: "etcdserver: mvcc: database space exceeded"}}, warns: true},
		"no right":                  {err: apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "current-operation", nil), warns: true},
		"no namespace":              {err: apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "ha-system")},
		"away":                      {err: &net.OpError{Op: "dial", Err: errors.New("refused")}, warns: true},
		"away, and it is required":  {h: Hold{Required: true}, err: &net.OpError{Op: "dial", Err: errors.New("refused")}, ends: true, kind: Unreachable},
		"full, and it is required":  {h: Hold{Required: true}, err: errors.New("etcdserver: mvcc: database space exceeded"), ends: true},
		"away, for who mends it":    {h: Hold{Mends: true}, err: &net.OpError{Op: "dial", Err: errors.New("refused")}, warns: true},
		"gone, and it is required":  {h: Hold{Required: true}, err: apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "ha-system"), ends: true, kind: Invalid},
		"the same of an older name": {h: Hold{ID: "restore-1"}, err: &operations.BusyError{Name: "join-a"}, ends: true},
	} {
		warned := false
		if tc.ctx == nil {
			tc.ctx = t.Context()
		}
		tc.h.StateDir = t.TempDir()
		held, err := tc.h.take(tc.ctx, refusing{tc.err}, report.SinkFunc(func(e report.Event) { warned = warned || e.Kind == report.Warning }))
		if (err != nil) != tc.ends || tc.ends && KindOf(err) != tc.kind || tc.cancelled && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if warned != tc.warns {
			t.Errorf("%s: warned %v", name, warned)
		}
		if err == nil {
			if held.May() != nil || held.Context() != tc.ctx || !errors.Is(held.Because(errLate), errLate) {
				t.Errorf("%s: without a claim it is no other", name)
			}
			held.Release()
		}
	}
	held, err := Hold{StateDir: t.TempDir()}.Take(t.Context(), report.Discard())
	if err != nil || held.May() != nil {
		t.Errorf("without an API: %v", err)
	}
}

var errLate = errors.New("a host was late")

// TestWhile: the cluster knows of the command while that is at work, and of nobody afterwards.
func TestWhile(t *testing.T) {
	api := claimtest.Serve(t)
	h := Hold{Config: api.Config(), StateDir: t.TempDir(), Command: "kubectl ha etcd apply", Required: true}
	err := h.While(t.Context(), report.Discard(), func(ctx context.Context, may func() error) error {
		if err := may(); err != nil || ctx.Err() != nil || !strings.Contains(api.Holder(), "kubectl ha etcd apply on ") {
			t.Errorf("at work: %v, %q has the claim", err, api.Holder())
		}
		return errLate
	})
	if !errors.Is(err, errLate) || api.Holder() != "" {
		t.Errorf("afterwards: %v, %q has the claim", err, api.Holder())
	}
	api.Add(v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "upgrade-a"}, Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade}})
	var busy *operations.BusyError
	if err := h.While(t.Context(), report.Discard(), func(context.Context, func() error) error { t.Error("it begins"); return nil }); !errors.As(err, &busy) || busy.Name != "upgrade-a" {
		t.Errorf("while an Operation is in progress: %v", err)
	}
}

// TestMends: who brings the API back is not ended by one that goes away.
func TestMends(t *testing.T) {
	api := claimtest.Serve(t)
	held, err := Hold{Config: api.Config(), StateDir: t.TempDir(), Command: "kubectl ha certs rescue", Mends: true}.Take(t.Context(), report.Discard())
	if err != nil || !strings.Contains(api.Holder(), "certs rescue on ") {
		t.Fatalf("%v, %q has the claim", err, api.Holder())
	}
	api.Away(true)
	if held.May() != nil || held.Context() != t.Context() {
		t.Error("an API that is away stands in its way")
	}
	api.Away(false)
	held.Release()
	held.Release()
	if api.Holder() != "" {
		t.Errorf("%q has the claim", api.Holder())
	}
}

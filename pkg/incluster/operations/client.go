package operations

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const (
	// requestTimeout bounds one request, so that a dead apiserver behind the
	// virtual IP is noticed.
	requestTimeout = 10 * time.Second
	// retryInterval is the time between two looks at a cluster that doesn't answer.
	retryInterval = 500 * time.Millisecond
)

// Client reads and writes Operations. Steps that are kept in parts are read and written with theirs, so
// that whoever has an Operation has its steps.
type Client struct {
	ri, parts dynamic.ResourceInterface
	limits    Limits
	memory    *memory
}

// New makes a Client.
func New(dyn dynamic.Interface) *Client {
	return &Client{ri: dyn.Resource(v1alpha1.OperationsResource), parts: dyn.Resource(v1alpha1.OperationPartsResource), limits: DefaultLimits()}
}

// Coordinators is the Client of the coordinator of one Operation, which makes its plan and reads its
// parts once. No limits: the default ones.
func (c *Client) Coordinators(l Limits) *Client {
	own := *c
	if own.memory = (&memory{}); l != (Limits{}) {
		own.limits = l
	}
	return &own
}

// Get reads one Operation.
func (c *Client) Get(ctx context.Context, name string) (*v1alpha1.Operation, error) {
	op, _, err := c.get(ctx, name)
	return op, err
}

// get reads one Operation, and the parts in which its steps are.
func (c *Client) get(ctx context.Context, name string) (*v1alpha1.Operation, []part, error) {
	op, err := c.head(ctx, name)
	if err != nil || op.Status.Parts == 0 {
		return op, nil, err
	}
	parts, err := c.loadParts(ctx, op)
	switch {
	case errors.Is(err, errParts) && op.DeletionTimestamp != nil:
		// Who deletes it with what it owns first leaves nothing to go on with.
		op.Status.Parts = 0
		return op, nil, nil
	case errors.Is(err, errParts):
		if _, gone := c.head(ctx, name); apierrors.IsNotFound(gone) {
			return nil, nil, gone
		}
		return nil, nil, err
	case err != nil:
		return nil, nil, err
	}
	op.Status.Steps = join(parts)
	return op, parts, nil
}

// head reads one Operation without its parts.
func (c *Client) head(ctx context.Context, name string) (*v1alpha1.Operation, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	u, err := c.ri.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read operation %s: %w", name, err)
	}
	return fromUnstructured(u)
}

// List reads all Operations, the oldest first. A cluster that has no such
// resource yet has none. One whose parts are not all there has no steps.
func (c *Client) List(ctx context.Context) ([]v1alpha1.Operation, error) {
	out, err := c.Heads(ctx)
	if err != nil || !hasParts(out) {
		return out, err
	}
	found, err := c.listParts(ctx, "")
	if err != nil {
		return nil, err
	}
	for i := range out {
		if out[i].Status.Parts == 0 {
			continue
		}
		// One whose parts are going, or were deleted, is not in the way of all others: Get says what is
		// wrong with it.
		if parts, err := arrange(&out[i], found); err == nil {
			out[i].Status.Steps = join(parts)
		}
	}
	return out, nil
}

// Heads is List without the steps that are kept in parts, for whoever asks for none.
func (c *Client) Heads(ctx context.Context) ([]v1alpha1.Operation, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list, err := c.ri.List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	out := make([]v1alpha1.Operation, 0, len(list.Items))
	for i := range list.Items {
		op, err := fromUnstructured(&list.Items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, *op)
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i].CreationTimestamp, out[j].CreationTimestamp
		return a.Before(&b) || (a.Equal(&b) && out[i].Name < out[j].Name)
	})
	return out, nil
}

// Create creates an Operation; a status in it is not written. A field that the cluster's resource does
// not know, since it is of an earlier version, is a BadRequest: what is wanted is not to be half done.
func (c *Client) Create(ctx context.Context, op *v1alpha1.Operation) (*v1alpha1.Operation, error) {
	u, err := toUnstructured(op)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	created, err := c.ri.Create(ctx, u, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		return nil, fmt.Errorf("create operation %s: %w", op.Name, err)
	}
	return fromUnstructured(created)
}

// Delete deletes an Operation.
func (c *Client) Delete(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := c.ri.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("delete operation %s: %w", name, err)
	}
	return nil
}

// Modify changes an Operation's metadata and spec; see modify for change. Steps that are in parts are
// neither read nor returned.
func (c *Client) Modify(ctx context.Context, name string, change func(*v1alpha1.Operation) error) (*v1alpha1.Operation, error) {
	return c.modify(ctx, name, change)
}

// ModifyStatus changes an Operation's status; see modify for change. The conditions are made
// to say what the changed status does.
func (c *Client) ModifyStatus(ctx context.Context, name string, change func(*v1alpha1.Operation) error) (*v1alpha1.Operation, error) {
	return c.modify(ctx, name, func(op *v1alpha1.Operation) error {
		if err := change(op); err != nil {
			return err
		}
		op.Status.ObservedGeneration = op.Generation
		op.Status.Conditions = Conditions(op, metav1.Now().Rfc3339Copy())
		return nil
	}, "status")
}

// modify reads, changes and writes, over again when somebody else wrote in
// between or when the answer got lost: the write carries the resourceVersion
// that was read, so it happens once at most for one look. The change function
// gets the newest state each time, must be right for whatever it finds, and
// stops everything by an error. It goes on until the context ends.
func (c *Client) modify(ctx context.Context, name string, change func(*v1alpha1.Operation) error, sub ...string) (*v1alpha1.Operation, error) {
	for {
		op, parts, err := c.read(ctx, name, sub...)
		if err == nil {
			isNew := len(op.Status.Steps) == 0
			if err = change(op); err != nil {
				return nil, err
			}
			if op, err = c.update(ctx, op, parts, isNew, sub...); err == nil {
				return op, nil
			}
		}
		if !Overtaken(err) && !Transient(err) {
			return nil, err
		}
		// An answer that was lost may have been of a write that was carried out.
		c.memory.forget()
		if Overtaken(err) {
			continue
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; last seen: %w", context.Cause(ctx), err)
		case <-time.After(retryInterval):
		}
	}
}

// read is what a change is made of: with its parts where the status is changed.
func (c *Client) read(ctx context.Context, name string, sub ...string) (*v1alpha1.Operation, []part, error) {
	if len(sub) > 0 {
		return c.get(ctx, name)
	}
	op, err := c.head(ctx, name)
	return op, nil, err
}

// update writes an Operation that was read with parts; isNew says that it had no plan then.
func (c *Client) update(ctx context.Context, op *v1alpha1.Operation, parts []part, isNew bool, sub ...string) (*v1alpha1.Operation, error) {
	if len(sub) > 0 {
		var err error
		if parts, err = c.writeSteps(ctx, op, parts, isNew); err != nil {
			return nil, err
		}
	}
	head := *op
	if head.Status.Parts > 0 {
		head.Status.Steps = nil
	}
	u, err := toUnstructured(&head)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	written, err := c.ri.Update(ctx, u, metav1.UpdateOptions{}, sub...)
	if err != nil {
		return nil, fmt.Errorf("write operation %s: %w", op.Name, err)
	}
	out, err := fromUnstructured(written)
	switch {
	case err != nil:
		return nil, err
	case out.Status.Parts != head.Status.Parts:
		return nil, fmt.Errorf("operation %s: %w: the API server leaves out status.parts, since an earlier version of the resource is installed", op.Name, ErrNoParts)
	case out.Status.Parts == 0 || len(sub) == 0:
		return out, nil
	}
	c.memory.keep(out.UID, parts)
	out.Status.Steps = join(parts)
	return out, nil
}

// Transient tells whether an error says nothing about the request itself, so
// that reading again makes sense: the network, a busy or starting apiserver.
// An answer of the apiserver about the request (not found, forbidden, unauthorized, invalid,
// a conflict) is not, nor is an Operation that can't be read.
func Transient(err error) bool {
	if err == nil {
		return false
	}
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonNotFound, metav1.StatusReasonAlreadyExists, metav1.StatusReasonConflict,
		metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest, metav1.StatusReasonForbidden, metav1.StatusReasonUnauthorized,
		metav1.StatusReasonGone, metav1.StatusReasonMethodNotAllowed:
		return false
	default:
		return !errors.Is(err, errUnreadable) && !errors.Is(err, errParts) && !errors.Is(err, ErrNoParts) && !errors.Is(err, errBug)
	}
}

// errUnreadable is the cause where what the API has is no Operation as this program knows it.
var errUnreadable = errors.New("use the kubectl-ha version that created it")

func toUnstructured(op *v1alpha1.Operation) (*unstructured.Unstructured, error) {
	o := *op
	o.APIVersion, o.Kind = v1alpha1.APIVersion, v1alpha1.OperationKind
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&o)
	if err != nil {
		return nil, fmt.Errorf("convert operation %s: %w", op.Name, err)
	}
	return &unstructured.Unstructured{Object: content}, nil
}

func fromUnstructured(u *unstructured.Unstructured) (*v1alpha1.Operation, error) {
	op := &v1alpha1.Operation{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, op); err != nil {
		return nil, fmt.Errorf("operation %s can't be read: %w; %w", u.GetName(), err, errUnreadable)
	}
	return op, nil
}

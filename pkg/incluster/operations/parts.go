package operations

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// partsAtOnce is how many parts one request lists.
const partsAtOnce = 500

var (
	// errParts is where an Operation's parts are not all there.
	errParts = errors.New("a part of its plan is missing")
	// ErrNoParts is where the cluster does not take parts, since an earlier version has installed it.
	ErrNoParts = errors.New("the plan is too large for one object, and kubectl-ha in this cluster is of a version that can't keep it in parts; install this one's with kubectl ha bootstrap or kubectl ha adopt, and begin the operation anew")
)

// Incomplete tells whether parts of an Operation's plan are missing, which no waiting brings back.
func Incomplete(err error) bool { return errors.Is(err, errParts) }

// errBug is where trying again is of no use.
var errBug = errors.New("report this as a bug")

// part is an OperationPart as it was read or written. Nobody changes its steps.
type part struct {
	version string
	steps   []v1alpha1.StepStatus
}

// memory has the parts of the Operation that a coordinator carries out, for the one goroutine that
// writes it. It alone writes them, so that what it has written is what there is.
type memory struct {
	of    types.UID
	parts []part
}

func (m *memory) recall(of types.UID) []part {
	if m == nil || m.of != of {
		return nil
	}
	return m.parts
}

func (m *memory) keep(of types.UID, parts []part) {
	if m != nil {
		m.of, m.parts = of, parts
	}
}

// forget is for when what was written may not be what there is.
func (m *memory) forget() { m.keep("", nil) }

func partName(operation string, i int) string { return fmt.Sprintf("%s-%05d", operation, i) }

// loadParts reads the parts of one Operation.
func (c *Client) loadParts(ctx context.Context, op *v1alpha1.Operation) ([]part, error) {
	if known := c.memory.recall(op.UID); len(known) == int(op.Status.Parts) {
		return known, nil
	}
	found, err := c.listParts(ctx, v1alpha1.LabelOperation+"="+op.Name)
	if err != nil {
		return nil, err
	}
	parts, err := arrange(op, found)
	if err == nil {
		c.memory.keep(op.UID, parts)
	}
	return parts, err
}

// ofPart is the error of a request for a part. That it was not found says nothing about its Operation.
func ofPart(what string, err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s: %w: %v", what, errParts, err) //nolint:errorlint // see above
	}
	return fmt.Errorf("%s: %w", what, err)
}

// listParts reads all parts with a label, by their names.
func (c *Client) listParts(ctx context.Context, selector string) (map[string]v1alpha1.OperationPart, error) {
	out := map[string]v1alpha1.OperationPart{}
	page := func(o metav1.ListOptions) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		list, err := c.parts.List(ctx, o)
		if err != nil {
			return "", ofPart("list parts of operations", err)
		}
		for i := range list.Items {
			p := v1alpha1.OperationPart{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &p); err != nil {
				return "", fmt.Errorf("part %s of an operation can't be read: %w; %w", list.Items[i].GetName(), err, errUnreadable)
			}
			out[p.Name] = p
		}
		return list.GetContinue(), nil
	}
	for o := (metav1.ListOptions{LabelSelector: selector, Limit: partsAtOnce}); ; {
		next, err := page(o)
		if err != nil || next == "" {
			return out, err
		}
		o.Continue = next
	}
}

// arrange are an Operation's parts in their order. Those of an earlier plan that was never begun are
// left out.
func arrange(op *v1alpha1.Operation, found map[string]v1alpha1.OperationPart) ([]part, error) {
	out := make([]part, 0, op.Status.Parts)
	for i := range int(op.Status.Parts) {
		p, ok := found[partName(op.Name, i)]
		if !ok || !slices.ContainsFunc(p.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == op.UID }) {
			return nil, fmt.Errorf("operation %s: %w: %s; delete it, let it end, and begin anew: kubectl delete operation %s --wait=false; kubectl ha operation abort %s", op.Name, errParts, partName(op.Name, i), op.Name, op.Name)
		}
		out = append(out, part{p.ResourceVersion, p.Steps})
	}
	return out, nil
}

// join are all steps of the parts, as the caller's own.
func join(parts []part) []v1alpha1.StepStatus {
	n := 0
	for _, p := range parts {
		n += len(p.steps)
	}
	out := make([]v1alpha1.StepStatus, 0, n)
	for _, p := range parts {
		out = append(out, p.steps...)
	}
	return out
}

// writeSteps writes those parts of an Operation's plan that differ from what there is, and makes the
// parts of a plan that is new and large; one that was begun in the Operation stays there, since whoever
// carries it out may not know of parts. The Operation itself is written after them: what is in no part
// yet has not happened, and what is in one is so, whatever the Operation says.
func (c *Client) writeSteps(ctx context.Context, op *v1alpha1.Operation, have []part, isNew bool) ([]part, error) {
	if op.Status.Parts == 0 {
		if !isNew {
			return nil, nil
		}
		chunks, err := c.limits.split(op.Status.Steps)
		if err != nil || chunks == nil {
			return nil, err
		}
		return c.makeParts(ctx, op, chunks)
	}
	if n := len(join(have)); n != len(op.Status.Steps) {
		return nil, fmt.Errorf("operation %s: a plan of %d steps has become one of %d; %w", op.Name, n, len(op.Status.Steps), errBug)
	}
	out, at := slices.Clone(have), 0
	for i, p := range have {
		now := op.Status.Steps[at : at+len(p.steps)]
		at += len(p.steps)
		if slices.EqualFunc(p.steps, now, func(a, b v1alpha1.StepStatus) bool { return same(&a, &b) }) {
			continue
		}
		written, err := c.writePart(ctx, op, i, now, p.version)
		if err != nil {
			return nil, err
		}
		out[i] = written
		// Whoever watches the Operation is to learn of it.
		op.Status.PartsWritten++
	}
	return out, nil
}

// makeParts makes the parts of a new plan. What an earlier try has left, of a plan that was not noted
// in the Operation, is replaced.
func (c *Client) makeParts(ctx context.Context, op *v1alpha1.Operation, chunks [][]v1alpha1.StepStatus) ([]part, error) {
	left, err := c.listParts(ctx, v1alpha1.LabelOperation+"="+op.Name)
	if errors.Is(err, errParts) || apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("%w: %v", ErrNoParts, err) //nolint:errorlint // it is no answer about the Operation
	}
	if err != nil {
		return nil, err
	}
	out := make([]part, 0, len(chunks))
	for i, steps := range chunks {
		old := left[partName(op.Name, i)]
		if old.ResourceVersion != "" && equality.Semantic.DeepEqual(old.Steps, steps) {
			out = append(out, part{old.ResourceVersion, old.Steps})
			continue
		}
		p, err := c.writePart(ctx, op, i, steps, old.ResourceVersion)
		if apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("%w: something else has the name of a part; remove it: kubectl delete operationpart %s: %v", errParts, partName(op.Name, i), err) //nolint:errorlint // or it would be tried for ever
		}
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	op.Status.Parts = int32(len(out))
	return out, nil
}

// writePart writes a part against the version that was read; none: it is new.
func (c *Client) writePart(ctx context.Context, op *v1alpha1.Operation, i int, steps []v1alpha1.StepStatus, version string) (part, error) {
	p := &v1alpha1.OperationPart{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.OperationPartKind},
		ObjectMeta: metav1.ObjectMeta{Name: partName(op.Name, i), ResourceVersion: version,
			Labels: map[string]string{v1alpha1.LabelOperation: op.Name}, OwnerReferences: []metav1.OwnerReference{Owner(op)}},
		Steps: slices.Clone(steps),
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
	if err != nil {
		return part{}, fmt.Errorf("convert %s: %w", p.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	u := &unstructured.Unstructured{Object: content}
	if version == "" {
		u, err = c.parts.Create(ctx, u, metav1.CreateOptions{})
	} else {
		u, err = c.parts.Update(ctx, u, metav1.UpdateOptions{})
	}
	if err != nil {
		return part{}, ofPart("write "+p.Name, err)
	}
	return part{u.GetResourceVersion(), p.Steps}, nil
}

// hasParts tells whether any of these Operations has parts.
func hasParts(all []v1alpha1.Operation) bool {
	return slices.ContainsFunc(all, func(op v1alpha1.Operation) bool { return op.Status.Parts > 0 })
}

// KnowsParts tells whether the cluster has the resource: kubectl-ha of before did not install it.
func (c *Client) KnowsParts(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := c.parts.List(ctx, metav1.ListOptions{Limit: 1})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("list parts of operations: %w", err)
	}
	return true, nil
}

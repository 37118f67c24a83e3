package incluster

import (
	"cmp"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// WithAgent are the same verbs with another agent image, for what is created with them.
func (o *Operations) WithAgent(image string) *Operations {
	out := *o
	out.agentImage = image
	return &out
}

// agentOf is the image that carries an Operation on: the one that it was created for,
// which knows all that is in it. Another program's may be older.
func (o *Operations) agentOf(op *v1alpha1.Operation) string {
	return cmp.Or(op.Annotations[v1alpha1.AnnotationAgentImage], o.agentImage)
}

// handOver has a failed Operation carried on by this program's agent, which may be the
// one that was mended since; not when that one does not know what it is about.
func (o *Operations) handOver(op *v1alpha1.Operation) {
	if _, known := definitions()[op.Spec.Type]; !known || op.Status.Phase != v1alpha1.OperationFailed || o.agentImage == "" {
		return
	}
	if op.Annotations == nil {
		op.Annotations = map[string]string{}
	}
	op.Annotations[v1alpha1.AnnotationAgentImage] = o.agentImage
}

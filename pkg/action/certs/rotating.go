package certs

import (
	"context"

	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// Rotating are the authorities of which a rotation was begun and is not complete.
func Rotating(ctx context.Context, kube kubernetes.Interface) ([]certs.Authority, error) {
	var out []certs.Authority
	for _, a := range certs.Authorities() {
		s, err := readRotation(ctx, kube, a)
		if err != nil {
			return nil, err
		}
		if s.exists {
			out = append(out, a)
		}
	}
	return out, nil
}

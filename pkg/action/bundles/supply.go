package bundles

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Supply has the bundle for a cluster's hosts: one that was named, or one from the cache,
// which is made first when it is not there.
type Supply struct {
	// Bundle is the one that was named, opened; nil when none was. Whoever has it closes it
	// by Close.
	Bundle *bundle.Bundle
}

// Close lets go of the bundle.
func (s *Supply) Close() {
	if s.Bundle != nil {
		_ = s.Bundle.Close() // Only read.
	}
}

// For gives the bundle once it is needed, as bootstrap asks for it. One that was named is read
// through while the hosts are looked at: nothing is begun with a damaged one. looked is called
// when it is asked for. A dry run gets none that would have to be made.
func (s *Supply) For(ctx context.Context, c *v1alpha1.Cluster, dryRun bool, sink report.Sink, looked func(string)) func(context.Context, string) (bootstrap.Bundle, error) {
	verified := make(chan error, 1)
	if s.Bundle != nil {
		go func() { verified <- s.Bundle.Verify(ctx, report.Discard()) }()
	}
	return func(ctx context.Context, arch string) (bootstrap.Bundle, error) {
		looked("")
		if s.Bundle != nil {
			if err := <-verified; err != nil {
				return nil, action.As(action.Invalid, err)
			}
			return s.Bundle.ForArch(arch), action.As(action.Invalid, s.Bundle.Contents().Check("", arch, ""))
		}
		if dryRun {
			return nil, nil
		}
		b, err := Ensure(ctx, "", c, arch, sink)
		if err != nil {
			return nil, err
		}
		s.Bundle = b
		return b, nil
	}
}

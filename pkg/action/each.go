package action

import (
	"errors"
	"sync"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Each does something on several hosts at the same time. The errors are joined in the hosts'
// order.
func Each(hosts []v1alpha1.Host, do func(i int, h v1alpha1.Host) error) error {
	errs := make([]error, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() { errs[i] = do(i, h) })
	}
	all.Wait()
	return errors.Join(errs...)
}

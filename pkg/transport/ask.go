package transport

import (
	"sync"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// asked is how many hosts Ask asks at the same time: each may be a Job.
const asked = 10

// Ask asks hosts, ten of them at the same time, and tells by their names what they say, or why
// they say nothing.
func Ask[T any](hosts []v1alpha1.Host, ask func(v1alpha1.Host) (T, error)) (said map[string]T, failed map[string]error) {
	said, failed = map[string]T{}, map[string]error{}
	slots := make(chan struct{}, asked)
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, h := range hosts {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answer, err := ask(h)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[h.Name] = err
				return
			}
			said[h.Name] = answer
		})
	}
	all.Wait()
	return said, failed
}

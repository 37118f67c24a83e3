package transport

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestAsk: all are asked, so many at the same time and no more, and each answers for itself.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hosts []v1alpha1.Host
		for i := range 2*asked + 1 {
			hosts = append(hosts, v1alpha1.Host{Name: fmt.Sprint("h", i)})
		}
		var mu sync.Mutex
		now, most := 0, 0
		began := time.Now()
		said, failed := Ask(hosts, func(h v1alpha1.Host) (string, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			if h.Name == "h3" {
				return "", errors.New("away")
			}
			return "I am " + h.Name, nil
		})
		if len(said) != len(hosts)-1 || said["h20"] != "I am h20" || len(failed) != 1 || failed["h3"] == nil {
			t.Errorf("%v, %v", said, failed)
		}
		if most > asked || time.Since(began) != 3*time.Second {
			t.Errorf("%d at the same time, all in %v", most, time.Since(began))
		}
	})
}

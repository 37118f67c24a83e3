package etcd

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// DefaultSnapshotCount is etcd's --snapshot-count from 3.6 on, where its arguments don't say
	// otherwise: after so many entries of its log a member writes a snapshot, from which it reads the
	// log at its next start.
	DefaultSnapshotCount = 10000
	// logWriters is how many entries are under way at the same time.
	logWriters = 64
	// logInterval is the time between two looks at how far members have come.
	logInterval = time.Second
)

// RenewLog makes every member write a snapshot of its log, so that it does not read earlier entries at
// its next start: 3.7 ends at those that 3.5 wrote in the form of its v2 API, of which 3.6 keeps up to
// snapshotCount (TestRealLogOfBefore). Each entry asks for the alarms, which changes no data. It ends when
// all members have applied as many entries; told says how many are left. The context has the deadline.
func (c *Client) RenewLog(ctx context.Context, snapshotCount uint64, told func(left uint64)) error {
	target := uint64(0)
	for _, s := range c.View(ctx).Status {
		target = max(target, s.Applied+snapshotCount+1)
	}
	asked, err := c.leading(ctx)
	if err != nil {
		return fmt.Errorf("renew the log of etcd: %w", err)
	}
	writing, stop := context.WithCancel(ctx)
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	var mu sync.Mutex
	var last error
	for range logWriters {
		writers.Go(func() {
			for writing.Err() == nil {
				one, cancel := context.WithTimeout(writing, changeTimeout)
				_, err := asked.client.AlarmList(one)
				cancel()
				if err == nil || writing.Err() != nil {
					continue
				}
				mu.Lock()
				last = short(err)
				mu.Unlock()
				select { // A member that leads no more is asked again with the next one.
				case <-writing.Done():
				case <-time.After(logInterval):
				}
			}
		})
	}
	tick := time.NewTicker(logInterval)
	defer tick.Stop()
	for {
		left := uint64(0)
		for _, s := range c.View(ctx).Status {
			if s.Applied < target {
				left = max(left, target-s.Applied)
			}
		}
		if left == 0 {
			return nil
		}
		told(left)
		select {
		case <-ctx.Done():
			mu.Lock()
			defer mu.Unlock()
			return fmt.Errorf("renew the log of etcd: %d entries are left: %w; last error: %v", left, context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}

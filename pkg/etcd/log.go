package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
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
	// maxSilent is after how many questions without an answer a member that is well is one that does not tell.
	maxSilent = 30
)

// RenewLog makes every member write a snapshot of its log, so that it does not read earlier entries at
// its next start: 3.7 ends at those that 3.5 wrote in the form of its v2 API, of which 3.6 keeps those since
// its last snapshot (TestRealLogOfBefore). Each entry asks for the alarms, which changes no data. It ends when
// every member has told that it has written one, whatever number of entries it was started with for that;
// a member that does not tell has to apply one more than snapshotCount. told says of how many members that
// is still awaited. The context has the deadline.
func (c *Client) RenewLog(ctx context.Context, snapshotCount uint64, told func(left int)) error {
	target := uint64(0)
	for _, s := range c.View(ctx).Status {
		target = max(target, s.Applied)
	}
	logs := map[string]*memberLog{}
	for _, m := range c.members {
		logs[m.url] = &memberLog{target: target, count: snapshotCount}
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
		left := c.logsLeft(ctx, logs)
		if left == 0 {
			return nil
		}
		told(left)
		select {
		case <-ctx.Done():
			mu.Lock()
			defer mu.Unlock()
			return fmt.Errorf("renew the log of etcd: %s not written a snapshot of it yet: %w; last error: %v", report.Plural(left, "member has", "members have"), context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}

// logsLeft looks at all members at the same time, and tells how many logs are not renewed.
func (c *Client) logsLeft(ctx context.Context, logs map[string]*memberLog) int {
	var left atomic.Int32
	var all sync.WaitGroup
	for _, m := range c.members {
		all.Go(func() {
			if !logs[m.url].done && !m.renewed(ctx, logs[m.url]) {
				left.Add(1)
			}
		})
	}
	all.Wait()
	return int(left.Load())
}

// renewed asks a member how far it is: first what it has applied, so that a snapshot which is counted
// later than that is of no less.
func (m endpoint) renewed(ctx context.Context, l *memberLog) bool {
	s := m.status(ctx)
	if s.Err != nil {
		return false
	}
	written, err := m.logSnapshots(ctx)
	if !l.heard(err) {
		return false
	}
	return l.look(s.Applied, written, err == nil)
}

// memberLog is what was seen of one member's log.
type memberLog struct {
	// target is the last entry that has to be in a snapshot. count is after how many entries there is one,
	// as far as is known from elsewhere.
	target, count uint64
	// reached: all up to the target was applied, and before was how many snapshots were written then.
	reached, done bool
	// told: it has told how many snapshots it has written, and is taken for one that does from then on. silent
	// counts the questions without any answer before that.
	told   bool
	silent int
	before uint64
}

// heard takes note of whether a member that is well has told how many snapshots it has written, and tells
// whether that is to be judged. One question without an answer says nothing of its log; a member whose port
// for clients has no HTTP never answers any.
func (l *memberLog) heard(err error) bool {
	switch {
	case err == nil:
		l.told = true
		return true
	case l.told:
		return false
	case errors.Is(err, errTellsNot):
		return true
	}
	l.silent++
	return l.silent > maxSilent
}

// look takes note of what a member has applied, and of how many snapshots it had written since its start
// right after that; tells is false when it does not tell that. 3.6 and later write a snapshot before they
// apply more, so that one which is counted after the target was applied has all up to it. It tells whether
// the log is renewed.
func (l *memberLog) look(applied, written uint64, tells bool) bool {
	switch {
	case l.done || applied < l.target:
	case !tells:
		l.done = applied > l.target+l.count
	case !l.reached || written < l.before: // It was started anew, and counts from zero.
		l.reached, l.before = true, written
	default:
		l.done = written > l.before
	}
	return l.done
}

// Package schedule is what kubectl-ha's CronJobs in ha-system have in common: what they are made
// of, how their runs ended and what is wrong with that, and what a run does before and after its
// own work. What the work is, others say: the renewal of certificates, backups.
//
// A run's pod is a coordinator that creates its Operation itself: the same service account,
// bounded by the same policy, which names the kinds of Operations that a run may create.
package schedule

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
)

// Off is what stands for no schedule where one is given.
const Off = "off"

// Kind is one kind of work that is done by schedule.
type Kind struct {
	// Name is the CronJob's, and its component's label.
	Name string
	// Manifest is the file of the CronJob in package manifests.
	Manifest string
	// DefaultCron is when it runs unless somebody says otherwise; the manifest has it as well.
	DefaultCron string
	// What is the work as it stands after "the" and "the last": scheduled renewal of certificates.
	What string
	// Late says that it has not ended well for too long.
	Late string
	// Missed is how many runs may be missed in a row before that is told of: a node that is
	// replaced, a cluster that was off for a night.
	Missed int
	// SetUp is the command that writes the CronJob, TakeAway the one that removes it.
	SetUp, TakeAway string
}

// Parse reads a schedule as the API server does, which takes no time zone in it.
// https://github.com/kubernetes/kubernetes/blob/v1.36.0/pkg/apis/batch/validation/validation.go
func (k Kind) Parse(text string) (cron.Schedule, error) {
	s, err := cron.ParseStandard(text)
	if err != nil {
		return nil, fmt.Errorf("the schedule %q can't be read: %w; it is written as that of a CronJob, such as %q or @daily", text, err, k.DefaultCron)
	}
	return s, nil
}

// periods is over how many runs Period looks: a schedule of working days has its longest time
// within a week.
const periods = 32

// Period is the longest time between two of the runs that follow.
func (k Kind) Period(text string, from time.Time) (longest time.Duration, err error) {
	when, err := k.Parse(text)
	if err != nil {
		return 0, err
	}
	at := when.Next(from)
	for range periods {
		next := when.Next(at)
		if at.IsZero() || next.IsZero() {
			break // It never runs: the 30th of February.
		}
		longest, at = max(longest, next.Sub(at)), next
	}
	return longest, nil
}

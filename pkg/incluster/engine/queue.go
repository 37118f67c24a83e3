package engine

import (
	"container/heap"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// queue gives the plan's earliest step first. A step stays in it until it is looked for and is pending
// no more.
type queue []int

// Len, Less, Swap, Push and Pop make it a heap.Interface.
func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i] < q[j] }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push adds a step.
func (q *queue) Push(x any) { *q = append(*q, x.(int)) }

// Pop takes the last one away.
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// first takes up to so many pending steps, and leaves in the queue what it has not looked at, and what
// it has taken: that leaves once it runs.
func (b *board) first(q *queue, most int, may func(i int) bool) []int {
	var taken []int
	for q.Len() > 0 && len(taken) < most {
		i := (*q)[0]
		b.work++
		if b.places[i].state != v1alpha1.StepPending {
			heap.Pop(q)
			continue
		}
		if !may(i) {
			break
		}
		taken = append(taken, heap.Pop(q).(int))
	}
	for _, i := range taken {
		heap.Push(q, i)
	}
	return taken
}

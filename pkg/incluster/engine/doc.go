// Package engine carries out Operations. It knows nothing of what an Operation
// does: a Definition gives it the plan and, for each kind of step, a Step.
//
// The rules it keeps:
//
//   - The plan is made once and written to the status before anything is done.
//   - Intent is written before acting: a step is Running, with its attempt and
//     the name of its Job, before the Job is created. The Job's name is made of
//     Operation, step and attempt, so that a second coordinator finds the Job
//     of the first instead of making another.
//   - One coordinator at a time, by a lease; one that lost it stops at once, and
//     one that doesn't know yet is stopped by its first write, since the status
//     names the coordinator in charge.
//   - Pause, resume and abort are honoured between steps.
//   - What is to happen next is a function of the Operation, and of which workers are ready where a
//     plan has turns of nodes: never are more out at once than its step allows.
package engine

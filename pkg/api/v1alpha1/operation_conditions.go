package v1alpha1

// The conditions of an Operation. The first three are a Job's, in meaning: each says True or
// False as long as there is a status. Complete and Failed are final together with the phase;
// a failed Operation that is resumed, or cleaned up since it was given up, is failed no more.
const (
	// ConditionComplete: all that was wanted is done.
	ConditionComplete = "Complete"
	// ConditionFailed: it has ended otherwise, aborted ones included.
	ConditionFailed = "Failed"
	// ConditionPaused: nothing runs, and nothing starts before it is resumed.
	ConditionPaused = "Paused"

	// ConditionReconciling and ConditionStalled are kstatus's, which are there only where they
	// are True: it is on its way, or it is not and needs a person.
	// https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
	ConditionReconciling = "Reconciling"
	ConditionStalled     = "Stalled"
)

// The reasons of the conditions: the same for all of them at one moment. Those of ConditionFailed
// are StepFailed, PlanFailed, StepsUnreachable and Aborted.
const (
	ReasonPending   = "Pending"
	ReasonRunning   = "Running"
	ReasonPausing   = "Pausing"
	ReasonPaused    = "Paused"
	ReasonAborting  = "Aborting"
	ReasonFailing   = "Failing"
	ReasonSucceeded = "Succeeded"
	ReasonAborted   = "Aborted"
	// ReasonStepFailed: the message has the steps and their errors; of a paused one whose plan lets
	// some nodes fail, how many have and which.
	ReasonStepFailed = "StepFailed"
	// ReasonPlanFailed: it ended before anything was done.
	ReasonPlanFailed = "PlanFailed"
	// ReasonStepsUnreachable: the plan has steps that can't begin, which is a bug.
	ReasonStepsUnreachable = "StepsUnreachable"
)

// MaxConditionMessage bounds a condition's message, in bytes. It is an Event's bound.
const MaxConditionMessage = 1024

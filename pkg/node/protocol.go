package node

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Request asks an agent to run one task.
type Request struct {
	// Cluster names the cluster; the host's ledger refuses another one.
	Cluster string `json:"cluster"`
	// Identity tells clusters of one name apart, see host.Ledger.Identity. The ledger refuses
	// another one, and notes it when it has none. Empty: who asks does not know it.
	Identity string `json:"identity,omitempty"`
	// AgentSHA256 is that of the program which is to run the task, in hex; any other refuses.
	// Empty: who asks does not know it, or has seen to it otherwise.
	AgentSHA256 string `json:"agentSHA256,omitempty"`
	// Task is the task's name, one of the keys of tasks.All.
	Task string `json:"task"`
	// Step is the step's ID in the plan, put into every event.
	Step string `json:"step,omitempty"`
	// DryRun records changes instead of making them.
	DryRun bool `json:"dryRun,omitempty"`
	// Timeout bounds the task. Zero: ten minutes.
	Timeout time.Duration `json:"timeout,omitempty"`
	// LockTimeout bounds the wait for another agent on this host. Zero: two minutes.
	LockTimeout time.Duration `json:"lockTimeout,omitempty"`
	// Settings is the digest of the settings that the spec was made of. The ledger
	// keeps it with the note that the task ended well, so that a later run can
	// tell whether they have changed. May be empty.
	Settings string `json:"settings,omitempty"`
	// Spec is the task's typed input. It may hold secrets.
	Spec json.RawMessage `json:"spec,omitempty"`
}

// NewRequest is the request for a task with its typed spec.
func NewRequest(task string, timeout time.Duration, spec any) (Request, error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return Request{}, fmt.Errorf("encode the request for %s: %w", task, err)
	}
	return Request{Task: task, Timeout: timeout, Spec: raw}, nil
}

// Result is how a task ended.
type Result struct {
	// Changes are the mutations made, or in a dry run those that would be.
	Changes []host.Change `json:"changes,omitempty"`
	// Data is the task's typed output.
	Data json.RawMessage `json:"data,omitempty"`
	// Failure is set when the task failed.
	Failure *Failure `json:"failure,omitempty"`
}

// Failure says what went wrong, for people.
type Failure struct {
	// Message is short: what failed and why.
	Message string `json:"message"`
	// Output is the failed command's whole output.
	Output string `json:"output,omitempty"`
	// Hint says what to do next.
	Hint string `json:"hint,omitempty"`
}

// Error makes a Failure an error with the short message.
func (f *Failure) Error() string { return f.Message }

// noTask begins the message of an agent that does not know a task.
const noTask = "the agent has no task "

// NoTask tells whether the agent does not know the task: it is of another version. Agents of
// earlier versions say so in their message only.
func (f *Failure) NoTask() bool { return strings.HasPrefix(f.Message, noTask) }

// Message is one line from the agent: exactly one field is set.
type Message struct {
	Event  *report.Event `json:"event,omitempty"`
	Result *Result       `json:"result,omitempty"`
}

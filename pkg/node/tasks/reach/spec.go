// Package reach tries whether hosts reach each other: one listens on the ports
// that will be needed, the others dial. Nothing on the hosts is changed.
//
// Who wants to know starts the task listen on the hosts to be reached, waits
// for its event with the message Listening, runs dial on the others, and then
// ends listen by cancelling it.
package reach

import "time"

// Listening is the message of the event (report.StepProgress) by which listen
// says that all its ports are open, or taken.
const Listening = "listening"

// ListenSpec says where to listen.
type ListenSpec struct {
	// Address is this host's.
	Address string  `json:"address"`
	Ports   []int32 `json:"ports"`
	// Token is what everybody who connects is answered: random, so that the
	// dialer knows that it got here and not to somebody else.
	Token string `json:"token"`
	// For bounds it. Default one minute. It ends earlier when its client goes.
	For time.Duration `json:"for,omitempty"`
}

// ListenData is what came of it.
type ListenData struct {
	// Taken are ports on which somebody listens already, and why they could not
	// be listened on. A connection to them gets through, but not the token.
	Taken map[int32]string `json:"taken,omitempty"`
	// Answered counts the connections by port.
	Answered map[int32]int `json:"answered,omitempty"`
}

// DialSpec says whom to dial.
type DialSpec struct {
	Targets []Target `json:"targets"`
	Token   string   `json:"token"`
	// Within bounds each target's dial, and the wait for the token. Default three seconds.
	Within time.Duration `json:"within,omitempty"`
}

// Target is one port to be dialled.
type Target struct {
	// Host is its name, only handed back.
	Host    string `json:"host"`
	Address string `json:"address"`
	Port    int32  `json:"port"`
}

// Outcome is how a dial ended.
type Outcome string

const (
	// OK: the connection was made, and the token came.
	OK Outcome = "ok"
	// Refused: the host, or a firewall in its name, refused it.
	Refused Outcome = "refused"
	// Timeout: no answer, as with a firewall that drops.
	Timeout Outcome = "timeout"
	// Unreachable: there is no way to the host.
	Unreachable Outcome = "unreachable"
	// WrongAnswer: the connection was made, but somebody else is there.
	WrongAnswer Outcome = "wrong answer"
	// Failed is anything else; see Detail.
	Failed Outcome = "failed"
)

// Dialled is a target and its outcome.
type Dialled struct {
	Target
	Outcome Outcome `json:"outcome"`
	// Detail is the error's text, for people.
	Detail string `json:"detail,omitempty"`
}

// DialData has one entry for each target, in their order.
type DialData struct {
	Results []Dialled `json:"results"`
}

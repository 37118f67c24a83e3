package node

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const programHint = "another program is under the agent's name in this node's image store, or the Operation's annotation kubectl-ha.dev/agents was changed: " +
	"find out who did that; then remove the image on the node (crictl rmi), and resume the Operation, which brings its own agent first"

// CheckProgram is an error, with a hint, when the program that runs has another SHA-256
// (hex) than the one that is asked for. An empty one is not asked for. path is the
// program's file, by default host.SelfPath.
func CheckProgram(path, want string) error {
	if want == "" {
		return nil
	}
	have, err := host.FileSum(cmp.Or(path, host.SelfPath))
	if err != nil {
		return fmt.Errorf("compare this program with the one that is asked for: %w", err)
	}
	if have != want {
		return host.WithHint(fmt.Errorf("this program (SHA-256 %s) is not the one that is asked for (%s); nothing was done", have, want), programHint)
	}
	return nil
}

// checkedRequest compares the program with the one that a request asks for, and returns
// the request without that, for the very same program to go on with. What is no request is
// returned as it is: who runs it says so.
func checkedRequest(raw []byte, program string) ([]byte, error) {
	var req Request
	if err := decodeStrict(bytes.TrimSpace(raw), &req); err != nil || req.AgentSHA256 == "" {
		return raw, nil //nolint:nilerr // see above
	}
	if err := CheckProgram(program, req.AgentSHA256); err != nil {
		return nil, err
	}
	req.AgentSHA256 = ""
	return json.Marshal(req)
}

// Package record is what is kept of a run of the end-to-end tests.
package record

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Run is one run of tests.
type Run struct {
	// Commit is the commit that was tested, as git describe names it.
	Commit string `json:"commit"`
	// Date is when it ended, UTC.
	Date time.Time `json:"date"`
	// Kubernetes is the version of the clusters, such as v1.36.3.
	Kubernetes string `json:"kubernetes"`
	// OS is the hosts' operating system, such as debian-12.
	OS string `json:"os"`
	// Tests are in the order in which they ended; subtests have names with a slash.
	Tests []Test `json:"tests"`
}

// Test is how one test ended.
type Test struct {
	Name string `json:"name"`
	// Result is pass, fail or skip.
	Result string `json:"result"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// Write writes the run as JSON, and makes the folder of the file.
func (r Run) Write(file string) error {
	content, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(content, '\n'), 0o644)
}

// Read reads what Write wrote.
func Read(file string) (Run, error) {
	var r Run
	content, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(content, &r); err != nil {
		return r, fmt.Errorf("%s: %w", file, err)
	}
	if r.Date.IsZero() || r.Kubernetes == "" || r.OS == "" {
		return r, fmt.Errorf("%s is not what a run of tests has recorded", file)
	}
	return r, nil
}

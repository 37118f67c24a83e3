package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// noted is what one run has counted, a line of the notes.
type noted struct {
	Passed  int      `json:"passed"`
	Skipped int      `json:"skipped"`
	Failed  []string `json:"failed,omitempty"`
}

// note adds what was counted to the notes. A run without a test is a failure
// there too.
func (s *sums) note(path string) (err error) {
	n := noted{s.passed, s.skipped, s.failed}
	if n.Passed+n.Skipped+len(n.Failed) == 0 {
		n.Failed = []string{errNothing.Error()}
	}
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(append(line, '\n'))
	return err
}

// total adds up the notes. No notes are notes of nothing: every step may have ended
// before it ran a test.
func (s *sums) total(path string, steps []string) error {
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for d := json.NewDecoder(bytes.NewReader(raw)); ; {
		var n noted
		if err := d.Decode(&n); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		s.passed += n.Passed
		s.skipped += n.Skipped
		s.failed = append(s.failed, n.Failed...)
	}
	if len(s.failed) == 0 {
		s.failed = steps
	}
	return nil
}

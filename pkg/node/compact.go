package node

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// MaxTerminationMessage is what Kubernetes keeps of a container's termination
// message, in bytes.
// https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
const MaxTerminationMessage = 4096

// Compact encodes a Result in at most limit bytes: the failed command's output
// loses its beginning first, then the changes go, the data, and at last the
// rest of the message.
func Compact(r Result, limit int) []byte {
	if r.Failure != nil {
		f := *r.Failure
		r.Failure = &f
	}
	cuts := []func(over int) bool{
		func(over int) bool { return r.Failure != nil && cutLeft(&r.Failure.Output, over) },
		func(int) bool { had := r.Changes != nil; r.Changes = nil; return had },
		func(int) bool { had := r.Data != nil; r.Data = nil; return had },
		func(over int) bool { return r.Failure != nil && cutRight(&r.Failure.Hint, over) },
		func(over int) bool { return r.Failure != nil && cutRight(&r.Failure.Message, over) },
	}
	for {
		encoded, err := json.Marshal(r)
		if err == nil && len(encoded) <= limit {
			return encoded
		}
		if len(cuts) == 0 {
			return []byte("{}")
		}
		// A byte of text is up to six bytes of JSON: a sixth is never too much.
		if !cuts[0]((len(encoded)-limit)/6 + 1) {
			cuts = cuts[1:]
		}
	}
}

const cutMark = "…"

// cutLeft shortens text by at least n bytes, mark included, or to nothing.
func cutLeft(text *string, n int) bool {
	if *text == "" {
		return false
	}
	rest := strings.TrimPrefix(*text, cutMark)
	n += len(cutMark)
	if n >= len(rest) {
		*text = ""
		return true
	}
	for n < len(rest) && !utf8.RuneStart(rest[n]) {
		n++
	}
	*text = cutMark + rest[n:]
	return true
}

// cutRight is cutLeft at the other end.
func cutRight(text *string, n int) bool {
	if *text == "" {
		return false
	}
	rest := strings.TrimSuffix(*text, cutMark)
	keep := len(rest) - n - len(cutMark)
	if keep <= 0 {
		*text = ""
		return true
	}
	for keep > 0 && !utf8.RuneStart(rest[keep]) {
		keep--
	}
	*text = rest[:keep] + cutMark
	return true
}

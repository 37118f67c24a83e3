// Package poll waits in tests for what can't say when it is done: a file that another
// program writes, a real server that comes up. Time itself is tested with
// testing/synctest, and what can close a channel does that.
package poll

import "time"

// interval is the time between two looks.
const interval = 5 * time.Millisecond

// Until looks again and again until the condition holds, for as long as within. It tells
// whether it does; a test then says what was seen last.
func Until(within time.Duration, condition func() bool) bool {
	for end := time.Now().Add(within); ; time.Sleep(interval) {
		if condition() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

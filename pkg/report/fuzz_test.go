package report

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// FuzzEvent: an event that came over a connection is passed on as it came.
func FuzzEvent(f *testing.F) {
	for _, seed := range []string{"{}", "{\"time\":\"2026-01-02T03:04:05Z\",\"kind\":\"done\",\"step\":\"a\",\"message\":\"b\",\"elapsed\":1.5}", "{\"elapsed\":1e300}", "{\"elapsed\":-9e18}", "null", "[]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var e, again Event
		if json.Unmarshal(data, &e) != nil {
			return
		}
		text, err := json.Marshal(e)
		if err == nil {
			err = json.Unmarshal(text, &again)
		}
		if err != nil {
			t.Fatalf("%q is written as %s: %v", data, text, err)
		}
		if e.Elapsed.Abs() > 24*time.Hour {
			return // The number of seconds has not as many digits.
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(text) {
			t.Errorf("%q is written as %s, and that as %s: %v", data, text, second, err)
		}
	})
}

// FuzzPrintable: nothing that a host says can steer the terminal that it is shown on.
func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"", "a\tb\nc", "\x1b[2J", "\xff\x9b31m", "\u009b", "\u202eabc", "\r\x00\x07"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for i, b := range []byte(printable(text)) {
			if b < ' ' && b != '\n' || b == 0x7f {
				t.Errorf("byte %d of %q is %#x", i, text, b)
			}
		}
		if bytes.Contains([]byte(printable(text)), []byte("\u009b")) {
			t.Errorf("%q keeps the one-character form of ESC [", text)
		}
	})
}

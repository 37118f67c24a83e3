package report

import (
	"encoding/json"
	"math"
	"time"
)

// plainEvent has Event's fields and none of its methods.
type plainEvent Event

// MarshalJSON writes Elapsed in seconds.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		plainEvent
		Elapsed float64 `json:"elapsed,omitempty"`
	}{plainEvent(e), e.Elapsed.Seconds()})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (e *Event) UnmarshalJSON(data []byte) error {
	var in struct {
		*plainEvent
		Elapsed float64 `json:"elapsed"`
	}
	var out plainEvent
	in.plainEvent = &out
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*e = Event(out)
	e.Elapsed = time.Duration(math.Round(in.Elapsed * float64(time.Second)))
	return nil
}

package node

import (
	"bytes"
	"encoding/json"
)

// decodeStrict decodes one JSON document; nothing at all leaves out as it is.
func decodeStrict(raw json.RawMessage, out any) error {
	if len(raw) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(out)
}

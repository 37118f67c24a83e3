package node

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzRequest: whatever an agent is sent, it answers with one result, on the last line.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{"", "\n", "{}", "{\"task\":\"look\"}\n", "{\"task\":\"look\",\"spec\":{\"name\":\"a\"}}", "{\"task\":\"look\",\"spec\":[]}", "{\"task\":\"other\"}",
		"{\"task\":\"look\",\"timeout\":-1}", "{\"task\":\"look\",\"dryRun\":true}\n{}", "null", "{\"what\":1}"} {
		f.Add([]byte(seed))
	}
	look := Typed(func(_ context.Context, _ Env, spec struct {
		Name string `json:"name"`
	}) (any, error) {
		return spec, nil
	})
	f.Fuzz(func(t *testing.T, request []byte) {
		a := Agent{Tasks: map[string]Task{"look": {Name: "look", ReadOnly: true, Run: look}}, Root: t.TempDir()}
		var out bytes.Buffer
		if err := a.Serve(t.Context(), bytes.NewReader(request), &out); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		for i, line := range lines {
			var m Message
			if err := json.Unmarshal([]byte(line), &m); err != nil || (m.Result != nil) != (i == len(lines)-1) {
				t.Errorf("line %d of %d is %q: %v", i+1, len(lines), line, err)
			}
		}
	})
}

package prepare

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// withStrings sets an array of strings at the top of a TOML document, and leaves all else
// as it is, comments too. Where that can't be done in the text, as little as possible of it
// is kept: the values.
func withStrings(old []byte, name string, values []string) ([]byte, error) {
	want := table{}
	if err := toml.Unmarshal(old, &want); err != nil {
		return nil, err
	}
	list, quoted := make([]any, 0, len(values)), make([]string, 0, len(values))
	for _, v := range values {
		list, quoted = append(list, v), append(quoted, strconv.Quote(v))
	}
	_, there := want[name]
	want[name] = list
	array := "[" + strings.Join(quoted, ", ") + "]"
	edited := append([]byte(name+" = "+array+"\n"), old...)
	if there {
		begin, end, err := arrayOf(old, name)
		if err != nil {
			return nil, err
		}
		edited = bytes.Join([][]byte{old[:begin], []byte(array), old[end:]}, nil)
	}
	got := table{}
	if err := toml.Unmarshal(edited, &got); err == nil && reflect.DeepEqual(got, want) {
		return edited, nil
	}
	return encode(want, "Changed by kubectl-ha.")
}

// arrayOf finds the text of an array at the top of a document.
func arrayOf(text []byte, name string) (begin, end int, err error) {
	p := unstable.Parser{}
	p.Reset(text)
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.KeyValue {
			break // From here on keys are in a table.
		}
		key := e.Key()
		if !key.Next() || string(key.Node().Data) != name || !key.IsLast() {
			continue
		}
		at := int(key.Node().Raw.Offset + key.Node().Raw.Length)
		open := bytes.IndexByte(text[at:], '[')
		if open < 0 {
			break
		}
		if end := arrayEnd(text, at+open); end > 0 {
			return at + open, end, nil
		}
	}
	if err := p.Error(); err != nil {
		return 0, 0, err
	}
	return 0, 0, fmt.Errorf("%s is not an array at the top of the file", name)
}

// arrayEnd is behind the bracket that closes the one at a place; 0 when there is none.
func arrayEnd(text []byte, at int) int {
	depth := 0
	for i := at; i < len(text); i++ {
		switch c := text[i]; c {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case '"', '\'':
			for i++; i < len(text) && text[i] != c; i++ {
				if c == '"' && text[i] == '\\' {
					i++
				}
			}
		}
	}
	return 0
}

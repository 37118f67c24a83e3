package inventory

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// pythonValue reads a value of an INI inventory, which Ansible takes for a
// Python literal when it can be one, and for text otherwise: 1.30 is the number
// 1.3, yes is text, 'a' # b is the text a.
// https://docs.python.org/3/library/ast.html#ast.literal_eval
func pythonValue(text string) any {
	p := &literalParser{rest: strings.TrimLeft(text, " \t")}
	value, err := p.value(0)
	if err == nil && p.take(",") { // a tuple needs no brackets
		p.rest = "[" + p.rest + "]"
		var more any
		if more, err = p.value(0); err == nil {
			value = append([]any{value}, more.([]any)...)
		}
	}
	if p.space(); err != nil || p.rest != "" {
		return text
	}
	return value
}

var errNoLiteral = errors.New("no Python literal")

// maxLiteralDepth bounds lists in lists.
const maxLiteralDepth = 32

// literalParser reads the literals that an inventory can have: numbers, text,
// True, False, None, and lists, tuples and dictionaries of them.
type literalParser struct{ rest string }

// space skips white space, and a comment to the end.
func (p *literalParser) space() {
	p.rest = strings.TrimLeft(p.rest, " \t\f")
	if strings.HasPrefix(p.rest, "#") {
		p.rest = ""
	}
}

func (p *literalParser) take(prefix string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, prefix)
	p.rest = rest
	return ok
}

var (
	pythonWord   = regexp.MustCompile(`^(?:True|False|None)\b`)
	pythonNumber = regexp.MustCompile(`^(?:0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+|` +
		`(?:[0-9](?:_?[0-9])*)?\.?(?:[0-9](?:_?[0-9])*)?(?:[eE][+-]?[0-9](?:_?[0-9])*)?)`)
	leadingZero  = regexp.MustCompile(`^0[0-9_]*[1-9]`)
	pythonString = regexp.MustCompile(`^(?:[uU]|[rR])?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")`)
)

func (p *literalParser) value(depth int) (any, error) {
	p.space()
	if depth > maxLiteralDepth || p.rest == "" {
		return nil, errNoLiteral
	}
	if word := pythonWord.FindString(p.rest); word != "" {
		p.rest = p.rest[len(word):]
		return map[string]any{"True": true, "False": false}[word], nil
	}
	switch c := p.rest[0]; {
	case c == '[' || c == '(':
		return p.list(depth)
	case c == '{':
		return p.dictionary(depth)
	case pythonString.MatchString(p.rest):
		return p.text()
	default:
		return p.number()
	}
}

func (p *literalParser) number() (any, error) {
	sign := ""
	for p.rest != "" && (p.rest[0] == '-' || p.rest[0] == '+') {
		if sign != "" {
			return nil, errNoLiteral // --1 is one, but nobody's
		}
		sign, p.rest = p.rest[:1], strings.TrimLeft(p.rest[1:], " ")
	}
	token := pythonNumber.FindString(p.rest)
	p.rest = p.rest[len(token):]
	if r, _ := utf8.DecodeRuneInString(p.rest); p.rest != "" && !strings.ContainsRune(" \t,:])}#", r) {
		return nil, errNoLiteral // 10.0.0.1, 5m
	}
	digits := strings.ReplaceAll(token, "_", "")
	prefixed := len(digits) > 1 && strings.ContainsAny(digits[:2], "xXoObB")
	if !prefixed && strings.ContainsAny(digits, ".eE") {
		f, err := strconv.ParseFloat(sign+digits, 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, errNoLiteral
		}
		return f, nil
	}
	if digits == "" || !prefixed && leadingZero.MatchString(token) {
		return nil, errNoLiteral
	}
	if !prefixed {
		digits = strings.TrimLeft(digits[:len(digits)-1], "0") + digits[len(digits)-1:]
	}
	i, err := strconv.ParseInt(sign+digits, 0, 64)
	if err != nil {
		return nil, errNoLiteral
	}
	return i, nil
}

// text reads one or more pieces of quoted text, which Python joins.
func (p *literalParser) text() (any, error) {
	var out strings.Builder
	for {
		p.space()
		token := pythonString.FindString(p.rest)
		if token == "" {
			return out.String(), nil
		}
		p.rest = p.rest[len(token):]
		raw := token[0] == 'r' || token[0] == 'R'
		body := strings.TrimLeft(token, "uUrR")
		// Three quotes in a row begin a kind of text that needs no reader here.
		if body = body[1 : len(body)-1]; body == "" && (strings.HasPrefix(p.rest, `"`) || strings.HasPrefix(p.rest, `'`)) {
			return nil, errNoLiteral
		}
		if !raw {
			var err error
			if body, err = unescape(body); err != nil {
				return nil, err
			}
		}
		out.WriteString(body)
	}
}

// escapes are Python's with a single letter.
var escapes = map[byte]string{'\\': "\\", '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v"}

// unescape carries out the backslashes in a text; one before any other letter stays.
// https://docs.python.org/3/reference/lexical_analysis.html#escape-sequences
func unescape(s string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out.WriteByte(s[i])
			continue
		}
		i++
		if text, ok := escapes[s[i]]; ok {
			out.WriteString(text)
			continue
		}
		size := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[i]]
		switch {
		case size > 0:
			if i+size >= len(s) {
				return "", errNoLiteral
			}
			code, err := strconv.ParseUint(s[i+1:i+1+size], 16, 32)
			if err != nil || !utf8.ValidRune(rune(code)) {
				return "", errNoLiteral
			}
			out.WriteRune(rune(code))
			i += size
		case s[i] >= '0' && s[i] <= '7' || s[i] == 'N':
			return "", errNoLiteral
		default:
			out.WriteByte('\\')
			out.WriteByte(s[i])
		}
	}
	return out.String(), nil
}

func (p *literalParser) list(depth int) (any, error) {
	end := "]"
	tuple := p.rest[0] == '('
	if tuple {
		end = ")"
	}
	p.rest = p.rest[1:]
	out := []any{}
	for comma := true; ; {
		if p.take(end) {
			if tuple && len(out) == 1 && !comma {
				return out[0], nil // a value in brackets
			}
			return out, nil
		}
		if !comma {
			return nil, errNoLiteral
		}
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
		comma = p.take(",")
	}
}

func (p *literalParser) dictionary(depth int) (any, error) {
	p.rest = p.rest[1:]
	out := map[string]any{}
	for comma := true; ; {
		if p.take("}") {
			return out, nil
		}
		if !comma {
			return nil, errNoLiteral
		}
		key, err := p.value(depth + 1)
		if err != nil || !p.take(":") {
			return nil, errNoLiteral
		}
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		name, ok := scalar(key)
		if !ok {
			return nil, errNoLiteral
		}
		out[name] = value
		comma = p.take(",")
	}
}

// scalar writes a single value as text, as Ansible puts it into a template.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v), true
	case literal:
		return strings.TrimSpace(string(v)), true
	case bool:
		if v {
			return "True", true
		}
		return "False", true
	case int64:
		return fmt.Sprint(v), true
	case float64:
		return pythonFloat(v), true
	default:
		return "", false
	}
}

// pythonFloat writes a number with a point as Python does.
func pythonFloat(f float64) string {
	exponent := 0
	if f != 0 {
		exponent = int(math.Floor(math.Log10(math.Abs(f))))
	}
	if exponent < -4 || exponent >= 16 {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

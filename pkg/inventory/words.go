package inventory

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var errTooMany = fmt.Errorf("the host ranges make more than %d hosts", maxHosts)

// stripComment removes a comment that begins after white space.
func stripComment(line string) string {
	for i := 1; i < len(line); i++ {
		if line[i] == '#' && (line[i-1] == ' ' || line[i-1] == '\t') {
			return strings.TrimSpace(line[:i])
		}
	}
	return line
}

// unquote removes one pair of quotes around a value.
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// split cuts a line into words as a shell does: quotes hold words together, a
// backslash takes the next character as it is, # begins a comment.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote byte
	inWord := false
	end := func() {
		if inWord {
			words = append(words, word.String())
			word.Reset()
			inWord = false
		}
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			inWord = true
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t' || c == '\r':
			end()
		case c == '#' && !inWord:
			return words, nil
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	end()
	return words, nil
}

// expand makes the host names of a pattern with ranges: m[1:3], m[01:10:2],
// rack[a:c], any number of them, up to limit names.
func expand(pattern string, limit int) ([]string, error) {
	open := strings.IndexByte(pattern, '[')
	if open < 0 {
		if limit < 1 {
			return nil, errTooMany
		}
		return []string{pattern}, nil
	}
	size := strings.IndexByte(pattern[open:], ']')
	if size < 0 {
		return nil, fmt.Errorf("%q: a bracket is not closed", pattern)
	}
	values, err := rangeValues(pattern[open+1:open+size], limit)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", pattern, err)
	}
	rest, err := expand(pattern[open+size+1:], limit)
	if err != nil {
		return nil, err
	}
	if len(values)*len(rest) > limit {
		return nil, errTooMany
	}
	var out []string
	for _, v := range values {
		for _, r := range rest {
			out = append(out, pattern[:open]+v+r)
		}
	}
	return out, nil
}

// rangeValues expands first:last[:step], of numbers or single letters. Leading
// zeros of the first number give all numbers its width.
func rangeValues(s string, limit int) ([]string, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return nil, fmt.Errorf("[%s] is no range; write [first:last]", s)
	}
	step := 1
	if len(parts) == 3 {
		var err error
		if step, err = strconv.Atoi(parts[2]); err != nil || step < 1 {
			return nil, fmt.Errorf("[%s]: the step must be a positive number", s)
		}
	}
	first, last := parts[0], parts[1]
	if first == "" {
		first = "0"
	}
	write := func(i int) string { return fmt.Sprintf("%0*d", width(first), i) }
	from, errFrom := strconv.Atoi(first)
	to, errTo := strconv.Atoi(last)
	if errFrom != nil || errTo != nil || from < 0 {
		if !letter(first) || !letter(last) {
			return nil, fmt.Errorf("[%s]: a range goes from number to number or from letter to letter", s)
		}
		from, to = int(first[0]), int(last[0])
		write = func(i int) string { return string(rune(i)) }
	}
	if to < from {
		return nil, fmt.Errorf("[%s] is empty", s)
	}
	if (to-from)/step >= limit {
		return nil, errTooMany
	}
	var out []string
	for i := from; i <= to && i >= from; i += step {
		out = append(out, write(i))
	}
	return out, nil
}

// width is the width to pad to: the number's own when it has leading zeros.
func width(number string) int {
	if len(number) > 1 && number[0] == '0' {
		return min(len(number), 20)
	}
	return 0
}

func letter(s string) bool {
	return len(s) == 1 && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
}

package inventory

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var errTooMany = fmt.Errorf("the host ranges make more than %d hosts", maxHosts)

// split cuts a line into words as Python's shlex does for Ansible: quotes hold
// words together, a backslash takes the next character as it is, in double
// quotes a quote or a backslash only, and # begins a comment, also within a word.
// https://docs.python.org/3/library/shlex.html#parsing-rules
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
		case c == '\\' && quote != '\'':
			if i++; i == len(line) {
				return nil, errors.New("nothing follows a backslash")
			}
			if quote != 0 && line[i] != quote && line[i] != '\\' {
				word.WriteByte('\\')
			}
			word.WriteByte(line[i])
			inWord = true
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t' || c == '\r':
			end()
		case c == '#':
			end()
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

// letters are the ends of a range of letters, in Ansible's order.
const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

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
	width := 0
	if len(first) > 1 && first[0] == '0' {
		if width = len(first); width != len(last) {
			return nil, fmt.Errorf("[%s]: with leading zeros both ends have as many digits", s)
		}
	}
	write := func(i int) string { return fmt.Sprintf("%0*d", width, i) }
	from, errFrom := strconv.Atoi(first)
	to, errTo := strconv.Atoi(last)
	if errFrom != nil || errTo != nil || from < 0 {
		from, to = strings.Index(letters, first), strings.Index(letters, last)
		if len(first) != 1 || len(last) != 1 || from < 0 || to < 0 {
			return nil, fmt.Errorf("[%s]: a range goes from number to number or from letter to letter", s)
		}
		write = func(i int) string { return letters[i : i+1] }
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

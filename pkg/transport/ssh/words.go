package ssh

import (
	"strconv"
	"strings"
)

// splitLine splits a line of ssh_config into its keyword, in lower case, and
// what follows it, as ssh_config(5) says: white space or one "=" between.
func splitLine(line string) (keyword, rest string) {
	line = strings.Trim(line, " \t\r\f")
	if line == "" || line[0] == '#' {
		return "", ""
	}
	i := strings.IndexAny(line, " \t=")
	if line[0] == '"' {
		if end := strings.IndexByte(line[1:], '"'); end >= 0 {
			return strings.ToLower(line[1 : 1+end]), trimSeparator(line[2+end:])
		}
	}
	if i < 0 {
		return strings.ToLower(line), ""
	}
	return strings.ToLower(line[:i]), trimSeparator(line[i:])
}

func trimSeparator(s string) string {
	s = strings.TrimLeft(s, " \t")
	if rest, ok := strings.CutPrefix(s, "="); ok {
		return strings.TrimLeft(rest, " \t")
	}
	return s
}

// splitWords splits the rest of a line into arguments: quotes hold one
// together, a backslash keeps a quote or itself, and a "#" that begins a word
// ends the line, one inside of a word does not. False when a quote is not closed.
func splitWords(s string) (words []string, closed bool) {
	var word strings.Builder
	var quote byte
	inside := false
	done := func() {
		if inside {
			words = append(words, word.String())
		}
		word.Reset()
		inside = false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && (strings.IndexByte(`"'\`, s[i+1]) >= 0 || quote == 0 && s[i+1] == ' '):
			i++
			word.WriteByte(s[i])
			inside = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inside = c, true
		case c == ' ' || c == '\t':
			done()
		case c == '#' && !inside:
			return words, true
		default:
			word.WriteByte(c)
			inside = true
		}
	}
	done()
	return words, quote == 0
}

// matchPattern matches a whole text with a pattern in which * is any text and
// ? is exactly one character (PATTERNS in ssh_config(5)).
func matchPattern(pattern, text string) bool {
	for pattern != "" {
		switch {
		case pattern[0] == '*':
			rest := strings.TrimLeft(pattern, "*")
			for i := 0; i <= len(text); i++ {
				if matchPattern(rest, text[i:]) {
					return true
				}
			}
			return false
		case text == "" || pattern[0] != '?' && pattern[0] != text[0]:
			return false
		}
		pattern, text = pattern[1:], text[1:]
	}
	return text == ""
}

// matchList matches with any of the patterns, and with none of those that
// begin with "!".
func matchList(patterns []string, text string) bool {
	found := false
	for _, p := range patterns {
		not, negated := strings.CutPrefix(p, "!")
		switch {
		case negated && matchPattern(not, text):
			return false
		case !negated && matchPattern(p, text):
			found = true
		}
	}
	return found
}

// seconds reads a time of sshd_config(5): a number of seconds, or numbers with
// units as in 1h30m. False for anything else.
func seconds(s string) (int, bool) {
	units := map[byte]int{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}
	total := 0
	for s != "" {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		v, err := strconv.Atoi(s[:n])
		if err != nil {
			return 0, false
		}
		unit := 1
		if s = s[n:]; s != "" {
			var known bool
			if unit, known = units[strings.ToLower(s)[0]]; !known {
				return 0, false
			}
			s = s[1:]
		}
		total += v * unit
	}
	return total, true
}

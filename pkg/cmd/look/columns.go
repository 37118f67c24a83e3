package look

import "strings"

// columns counts what is visible: without ANSI's sequences.
func columns(text string) int {
	n, inside := 0, false
	for _, c := range text {
		switch {
		case c == '\x1b':
			inside = true
		case inside:
			inside = c != 'm'
		default:
			n++
		}
	}
	return n
}

// cut shortens a text to a number of visible columns.
func cut(text string, most int) string {
	if columns(text) <= most {
		return text
	}
	var b strings.Builder
	n, inside, coloured := 0, false, false
	for _, c := range text {
		switch {
		case c == '\x1b':
			inside, coloured = true, true
		case inside:
			inside = c != 'm'
		default:
			if n++; n > most-3 {
				b.WriteString("...")
				if coloured {
					b.WriteString("\x1b[0m")
				}
				return b.String()
			}
		}
		b.WriteRune(c)
	}
	return b.String()
}

// wrap breaks a text at blanks into lines of at most that many columns; a longer
// word is broken too.
func wrap(text string, most int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		for columns(word) > most {
			runes := []rune(word)
			if line != "" {
				lines, line = append(lines, line), ""
			}
			lines, word = append(lines, string(runes[:most])), string(runes[most:])
		}
		if line != "" && columns(line)+1+columns(word) > most {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

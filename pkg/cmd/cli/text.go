package cli

import "strings"

// Paragraphs wraps each text to the help's width, with an empty line between.
func Paragraphs(texts ...string) string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = strings.Join(Wrap(t, HelpWidth), "\n")
	}
	return strings.Join(out, "\n\n")
}

// Wrap breaks a text at blanks into lines of at most width characters; a
// longer word stays whole.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
			lines = append(lines, line)
			line = ""
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

// Fitted breaks the lines of a message that are longer than width, and leaves the others
// as they are: they may be another program's output.
func Fitted(message string, width int) string {
	lines := strings.Split(message, "\n")
	for i, l := range lines {
		if len([]rune(l)) > width {
			indent := l[:len(l)-len(strings.TrimLeft(l, " "))]
			lines[i] = indent + strings.Join(Wrap(l, width-len(indent)), "\n"+indent)
		}
	}
	return strings.Join(lines, "\n")
}

// Examples takes off the indentation that the source code has, and indents by
// two blanks.
func Examples(text string) string {
	lines := strings.Split(strings.Trim(text, "\n\t "), "\n")
	for i, l := range lines {
		l = strings.TrimLeft(l, "\t")
		if l != "" {
			l = "  " + l
		}
		lines[i] = l
	}
	return strings.Join(lines, "\n")
}

package ssh

import (
	"fmt"
	"strings"
)

// Quote makes of an argument vector the one string that SSH takes, such that a
// POSIX shell splits it into exactly these arguments. An empty vector or a NUL
// byte, which no argument can hold, is an error.
func Quote(argv []string) (string, error) {
	if len(argv) == 0 {
		return "", fmt.Errorf("there is no command to run")
	}
	words := make([]string, len(argv))
	for i, a := range argv {
		if strings.IndexByte(a, 0) >= 0 {
			return "", fmt.Errorf("argument %d of %s has a NUL byte", i, argv[0])
		}
		words[i] = quoteWord(a)
	}
	return strings.Join(words, " "), nil
}

// quoteWord leaves alone what no shell treats specially. '=' and '~' are not
// among these: zsh expands a leading '=', shells a leading '~'.
func quoteWord(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+:,./-"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

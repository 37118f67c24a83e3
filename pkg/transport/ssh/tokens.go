package ssh

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// expandTokens replaces the tokens of ssh_config(5) that are given; %% is a
// percent sign, and others stay as they are.
func expandTokens(s string, tokens map[byte]string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+1 < len(s) {
			if s[i+1] == '%' {
				out.WriteByte('%')
				i++
				continue
			}
			if v, ok := tokens[s[i+1]]; ok {
				out.WriteString(v)
				i++
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

var variable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// expandEnv replaces ${NAME}; one that is not set stays as it is.
func expandEnv(s string, lookup func(string) (string, bool)) string {
	if lookup == nil {
		return s
	}
	return variable.ReplaceAllStringFunc(s, func(v string) string {
		if value, ok := lookup(v[2 : len(v)-1]); ok {
			return value
		}
		return v
	})
}

func expandHome(path, home string) string {
	if path == "~" || strings.HasPrefix(path, "~/") || strings.HasPrefix(path, `~\`) {
		return filepath.Join(home, path[1:])
	}
	return path
}

// tokens are what ssh_config(5) allows in the names of files, but for hashes
// of the others (%C).
func (r resolver) tokens(t Target) map[byte]string {
	short, _, _ := strings.Cut(r.env.Hostname, ".")
	key := t.HostKeyAlias
	if key == "" {
		key = r.host
	}
	return map[byte]string{'d': r.env.Home, 'h': t.Host, 'i': r.env.UID, 'k': key, 'L': short, 'l': r.env.Hostname,
		'n': r.host, 'p': strconv.Itoa(t.Port), 'r': t.User, 'u': r.env.User}
}

// expand replaces a leading ~/, tokens and ${VARIABLES} in the name of a file.
func (r resolver) expand(path string, t Target) string {
	return expandHome(expandTokens(expandEnv(path, r.env.Lookup), r.tokens(t)), r.env.Home)
}

// splitPaths splits a list of files as ssh -G prints it, which does not quote
// names with spaces: what begins like no path continues the one before.
func splitPaths(list string) []string {
	var out []string
	for _, word := range strings.Split(list, " ") {
		if len(out) > 0 && !beginsPath(word) {
			out[len(out)-1] += " " + word
			continue
		}
		if word != "" {
			out = append(out, word)
		}
	}
	return out
}

func beginsPath(word string) bool {
	for _, start := range []string{"/", "~", `\`, "$", "%", "none", "__PROGRAMDATA__"} {
		if strings.HasPrefix(word, start) {
			return true
		}
	}
	return len(word) > 2 && word[1] == ':' && (word[2] == '\\' || word[2] == '/')
}

package ssh

import (
	"bytes"
	"fmt"
	"strings"

	sshconfig "github.com/kevinburke/ssh_config"
)

// UserConfig is the caller's ~/.ssh/config followed by the system's. A nil
// UserConfig is an empty one.
type UserConfig struct {
	files []*sshconfig.Config
	// Warnings are about what was left out.
	Warnings []string
}

// ConfigSource is the content of one ssh_config file.
type ConfigSource struct {
	Path string
	Data []byte
}

// ParseConfig reads ssh_config files; earlier ones win. Blocks under a Match
// that this program can't evaluate (exec, user, …) are left out with a warning.
func ParseConfig(sources ...ConfigSource) (*UserConfig, error) {
	out := &UserConfig{}
	for _, s := range sources {
		data, dropped := dropMatches(s.Data)
		for _, line := range dropped {
			out.Warnings = append(out.Warnings,
				fmt.Sprintf("%s:%d: this Match block is ignored; only Host, Match host and Match all are understood", s.Path, line))
		}
		c, err := sshconfig.DecodeBytes(data)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", s.Path, err)
		}
		out.files = append(out.files, c)
	}
	return out, nil
}

// dropMatches blanks the blocks of Match lines that can't be evaluated, and
// returns their line numbers. Lines keep their numbers.
func dropMatches(data []byte) (kept []byte, dropped []int) {
	lines := bytes.Split(data, []byte("\n"))
	dropping := false
	for i, line := range lines {
		words := strings.FieldsFunc(string(line), func(r rune) bool { return r == ' ' || r == '\t' || r == '=' || r == '\r' })
		if len(words) > 0 {
			switch strings.ToLower(words[0]) {
			case "host":
				dropping = false
			case "match":
				dropping = !understood(words[1:])
				if dropping {
					dropped = append(dropped, i+1)
				}
			}
		}
		if dropping {
			lines[i] = nil
		}
	}
	return bytes.Join(lines, []byte("\n")), dropped
}

func understood(criteria []string) bool {
	if len(criteria) == 1 {
		return strings.EqualFold(criteria[0], "all")
	}
	return len(criteria) == 2 && strings.EqualFold(criteria[0], "host")
}

// nobody is a host name that only patterns for every host match.
const nobody = "kubectl-ha-matches-no-host.invalid"

// lookup returns the value of a key for the first alias for which the files
// say something of its own; else what they say for every host.
func (c *UserConfig) lookup(key string, aliases ...string) (string, error) {
	all, err := c.get(nobody, key)
	if err != nil {
		return "", err
	}
	for _, a := range aliases {
		if a == "" {
			continue
		}
		v, err := c.get(a, key)
		if err != nil {
			return "", err
		}
		if v != "" && v != all {
			return v, nil
		}
	}
	return all, nil
}

func (c *UserConfig) get(alias, key string) (string, error) {
	if c == nil {
		return "", nil
	}
	for _, f := range c.files {
		v, err := f.Get(alias, key)
		if err != nil {
			return "", fmt.Errorf("look up %s of %s in ssh_config: %w", key, alias, err)
		}
		if v != "" {
			return v, nil
		}
	}
	return "", nil
}

// all returns every value of a key, for all the aliases, each once.
func (c *UserConfig) all(key string, aliases ...string) ([]string, error) {
	var out []string
	if c == nil {
		return nil, nil
	}
	seen := map[string]bool{}
	for _, f := range c.files {
		for _, a := range aliases {
			if a == "" {
				continue
			}
			values, err := f.GetAll(a, key)
			if err != nil {
				return nil, fmt.Errorf("look up %s of %s in ssh_config: %w", key, a, err)
			}
			for _, v := range values {
				if !seen[v] {
					seen[v] = true
					out = append(out, v)
				}
			}
		}
	}
	return out, nil
}

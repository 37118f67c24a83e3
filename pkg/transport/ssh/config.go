package ssh

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// nobody is a host name that only what is said for every host matches.
const nobody = "kubectl-ha-matches-no-host.invalid"

// query is one question: what the configuration means for a login to host, as
// user and on port where these are told already (ssh -l USER -p PORT HOST).
type query struct {
	host, user string
	port       int
	// noProxy: how the host is reached is told already, as with ssh -J.
	noProxy bool
}

// answer is what a configuration means for one query, in the words of
// `ssh -G`: keywords in lower case, each with its values in their order.
type answer map[string][]string

// reader reads the caller's configuration.
type reader interface {
	ask(ctx context.Context, q query) (answer, error)
}

// UserConfig is the caller's SSH configuration: ~/.ssh/config followed by the
// system's. A nil UserConfig is an empty one. It may not be used by several
// goroutines at once.
type UserConfig struct {
	reader reader
	// defaults are the reader's answer for a configuration that says nothing.
	defaults answer
	asked    map[query]answer
	warnings []string
}

// LoadConfig finds out who reads the caller's configuration: the OpenSSH client
// of env.SSH, so that it means here what it means to ssh; where there is none,
// or one that does not know -G (before OpenSSH 6.8, or another program of that
// name), a reader of this package for the common part of the language, which
// warns of what it leaves out. An error says that the files can't be read.
func LoadConfig(ctx context.Context, env Environment) (*UserConfig, error) {
	c := &UserConfig{asked: map[query]answer{}}
	if env.SSH != "" {
		client := &openSSH{program: env.SSH, env: env}
		defaults, err := client.withoutConfig(ctx)
		if err == nil {
			client.warn = c.warn
			c.reader, c.defaults = client, defaults
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.warn(fmt.Sprintf("%s does not tell what your SSH configuration means (%v); its common part is read without it", env.SSH, err))
	}
	own := &ownReader{env: env, warn: c.warn}
	if err := own.load(); err != nil {
		return nil, err
	}
	c.reader = own
	return c, nil
}

// warn keeps a warning, each once.
func (c *UserConfig) warn(message string) {
	if !slices.Contains(c.warnings, message) {
		c.warnings = append(c.warnings, message)
	}
}

// Warnings are about what was left out, so far: each query may add some.
func (c *UserConfig) Warnings() []string {
	if c == nil {
		return nil
	}
	return c.warnings
}

func (c *UserConfig) ask(ctx context.Context, q query) (answer, error) {
	if c == nil {
		return answer{}, nil
	}
	if a, ok := c.asked[q]; ok {
		return a, nil
	}
	a, err := c.reader.ask(ctx, q)
	if err == nil {
		c.asked[q] = a
	}
	return a, err
}

// settings is what the configuration says about a host that goes by several
// names.
type settings struct {
	aliases []string
	answers []answer // one for each alias
	common  answer   // what is said for every host
	// defaults is what is said without any configuration.
	defaults answer
}

// about asks for all names of a host. With more than one, what is said for
// every host is asked for as well, to tell it from what is said for a name.
func (c *UserConfig) about(ctx context.Context, q query, aliases ...string) (settings, error) {
	s := settings{}
	if c != nil {
		s.defaults = c.defaults
	}
	for _, name := range aliases {
		if name == "" || slices.Contains(s.aliases, name) {
			continue
		}
		if err := checkHost(name); err != nil {
			return s, err
		}
		q.host = name
		a, err := c.ask(ctx, q)
		if err != nil {
			return s, err
		}
		s.aliases, s.answers = append(s.aliases, name), append(s.answers, a)
	}
	if len(s.aliases) < 2 {
		return s, nil
	}
	q.host = nobody
	common, err := c.ask(ctx, q)
	s.common = common
	return s, err
}

// values are those of a keyword; nil when the configuration does not set it.
// The first name for which something of its own is said counts, else the first
// one. Keywords in with belong to the same decision: when one name has its own
// ProxyCommand, another's ProxyJump is not taken.
func (s settings) values(key string, with ...string) []string {
	if len(s.answers) == 0 {
		return nil
	}
	i := 0
	if len(s.answers) > 1 {
		keys := append([]string{key}, with...)
		own := slices.IndexFunc(s.aliases, func(name string) bool { return s.special(name, keys) })
		i = max(own, 0)
	}
	v := s.answers[i][key]
	switch {
	case key == "hostname" && len(v) == 1 && strings.EqualFold(v[0], s.aliases[i]):
		return nil // it is printed although nobody has said so
	case slices.Equal(v, s.defaults[key]):
		return nil
	}
	return v
}

// value is the only value of a keyword, or empty.
func (s settings) value(key string, with ...string) string {
	if v := s.values(key, with...); len(v) > 0 {
		return v[0]
	}
	return ""
}

// special tells whether anything is said for this name that is not said for
// every host. Values may have the name itself in them (%h).
func (s settings) special(name string, keys []string) bool {
	a := s.answers[slices.Index(s.aliases, name)]
	same := strings.NewReplacer(strings.ToLower(name), "%h", name, "%h", nobody, "%h")
	return slices.ContainsFunc(keys, func(key string) bool {
		return !slices.EqualFunc(a[key], s.common[key], func(x, y string) bool { return same.Replace(x) == same.Replace(y) })
	})
}

// checkHost refuses host names that a program could take for an option, or a
// shell for more than a word. Names may come from a file that somebody else
// has written; the rule is that of OpenSSH 9.6 and later (CVE-2023-51385).
func checkHost(name string) error {
	if name == "" || name[0] == '-' || strings.ContainsFunc(name, notInNames) {
		return fmt.Errorf("%q is no host name", name)
	}
	return nil
}

// checkUser is checkHost for login names, which may have a backslash inside
// (Windows domains).
func checkUser(name string) error {
	inside := strings.ReplaceAll(name, `\`, "")
	if inside == "" || name[0] == '-' || strings.HasSuffix(name, `\`) || strings.ContainsFunc(strings.TrimSuffix(inside, "$"), notInNames) {
		return fmt.Errorf("%q is no login name", name)
	}
	return nil
}

func notInNames(r rune) bool {
	return r <= ' ' || r == 0x7f || strings.ContainsRune("'`\"$\\;&<>|(){}*?!#~", r)
}

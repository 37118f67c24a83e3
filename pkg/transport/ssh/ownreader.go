package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxInclude bounds files that include each other, as OpenSSH does.
const maxInclude = 16

// ownReader reads ssh_config where there is no OpenSSH client to ask: Host,
// Match (all, host, originalhost, user, localuser, final), Include, and the
// keywords that a login here needs. Everything else is passed over, with a
// warning where it would have decided something.
type ownReader struct {
	env   Environment
	warn  func(string)
	files []configFile
}

// configFile is the content of one file, and the folder that its relative
// Includes are in.
type configFile struct{ path, folder, text string }

// load reads the files; those that aren't there say nothing.
func (o *ownReader) load() error {
	for i, path := range o.env.ConfigFiles {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read your SSH settings: %w", err)
		}
		folder := filepath.Dir(path)
		if i == 0 && o.env.Home != "" {
			folder = filepath.Join(o.env.Home, ".ssh") // ssh_config(5), Include
		}
		o.files = append(o.files, configFile{path, folder, string(data)})
	}
	return nil
}

// ask evaluates the files for one host. With a `Match final` in one of them
// they are read twice, as OpenSSH does: in the second round it matches, and
// Match host sees the name that HostName gave; what was set before stays.
func (o *ownReader) ask(_ context.Context, q query) (answer, error) {
	e := &evaluation{reader: o, query: q, set: answer{}}
	if q.user != "" {
		e.set["user"] = []string{q.user}
	}
	if q.port != 0 {
		e.set["port"] = []string{strconv.Itoa(q.port)}
	}
	if q.noProxy {
		e.set["proxyjump"] = []string{"none"}
	}
	e.all()
	if e.wantsFinal {
		e.final = true
		e.all()
	}
	out := e.set
	out["hostname"] = []string{e.hostName()}
	return out, nil
}

// evaluation is one query's way through the files.
type evaluation struct {
	reader *ownReader
	query  query
	set    answer
	// final: this is the second round, which some Match wantsFinal.
	final, wantsFinal bool
}

func (e *evaluation) all() {
	for _, f := range e.reader.files {
		e.file(f, 0)
	}
}

// hostName is what the host is called by now.
func (e *evaluation) hostName() string {
	name := e.query.host
	if v := e.set["hostname"]; len(v) > 0 {
		name = expandTokens(v[0], map[byte]string{'h': e.query.host})
	}
	return strings.ToLower(name)
}

// user is who logs in, as far as that is said by now.
func (e *evaluation) user() string {
	if v := e.set["user"]; len(v) > 0 {
		return v[0]
	}
	return e.reader.env.User
}

// file goes through the lines of one file. What it includes is under the same
// condition as the line that does; conditions in there end with it.
func (e *evaluation) file(f configFile, depth int) {
	active := true
	for i, line := range strings.Split(f.text, "\n") {
		keyword, rest := splitLine(line)
		if keyword == "" {
			continue
		}
		at := fmt.Sprintf("%s:%d", f.path, i+1)
		words, closed := splitWords(rest)
		if !closed && !raw(keyword) {
			e.reader.warn(at + ": a quote is not closed; the line is passed over")
			if keyword == "host" || keyword == "match" {
				active = false
			}
			continue
		}
		switch keyword {
		case "host":
			active = matchList(words, e.query.host)
		case "match":
			active = e.match(words, at)
		case "include":
			if active {
				e.include(f, words, at, depth)
			}
		default:
			if active {
				e.option(keyword, rest, words, at)
			}
		}
	}
}

func (e *evaluation) include(f configFile, patterns []string, at string, depth int) {
	if depth >= maxInclude {
		e.reader.warn(at + ": files include each other more than " + strconv.Itoa(maxInclude) + " deep; this one is passed over")
		return
	}
	for _, p := range patterns {
		p = expandHome(expandEnv(p, e.reader.env.Lookup), e.reader.env.Home)
		if !filepath.IsAbs(p) {
			p = filepath.Join(f.folder, p)
		}
		found, err := filepath.Glob(p)
		if err != nil {
			e.reader.warn(fmt.Sprintf("%s: %s: %v", at, p, err))
		}
		for _, path := range found {
			data, err := os.ReadFile(path)
			if err != nil {
				e.reader.warn(fmt.Sprintf("%s: %v", at, err))
				continue
			}
			e.file(configFile{path, f.folder, string(data)}, depth+1)
		}
	}
}

// match evaluates the criteria of a Match line; all must hold. One that can't
// be evaluated does not.
func (e *evaluation) match(words []string, at string) bool {
	result := len(words) > 0
	for len(words) > 0 {
		not := strings.HasPrefix(words[0], "!")
		criterion, value, joined := strings.Cut(strings.ToLower(strings.TrimPrefix(words[0], "!")), "=")
		words = words[1:]
		var holds bool
		switch criterion {
		case "all":
			holds = true
		case "canonical":
			holds = false // names are not canonicalized here
		case "final":
			e.wantsFinal = true
			holds = e.final
		case "host", "originalhost", "user", "localuser":
			if !joined {
				if len(words) == 0 {
					e.reader.warn(at + ": Match " + criterion + " without a value; the block is passed over")
					return false
				}
				value, words = words[0], words[1:]
			}
			holds = e.criterion(criterion, strings.Split(value, ","))
		default:
			e.reader.warn(fmt.Sprintf("%s: Match %s needs an OpenSSH client on the PATH to be evaluated; the block is passed over", at, criterion))
			return false
		}
		result = result && holds != not
	}
	return result
}

func (e *evaluation) criterion(name string, patterns []string) bool {
	switch name {
	case "host":
		return matchList(lower(patterns), e.hostName())
	case "originalhost":
		return matchList(lower(patterns), strings.ToLower(e.query.host))
	case "user":
		return matchList(patterns, e.user())
	default:
		return matchList(patterns, e.reader.env.User)
	}
}

func lower(words []string) []string {
	out := slices.Clone(words)
	for i := range out {
		out[i] = strings.ToLower(out[i])
	}
	return out
}

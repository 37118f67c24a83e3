package ssh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// askTimeout bounds one question to the OpenSSH client, which may have to run
// the commands of `Match exec`.
const askTimeout = 30 * time.Second

// openSSH asks the OpenSSH client what the configuration means: `ssh -G HOST`
// prints it, with all of Match, Include, tokens and defaults applied, and
// connects to nothing (ssh(1)).
type openSSH struct {
	program string
	env     Environment
	warn    func(string)
	// timeout bounds a question; zero for askTimeout.
	timeout time.Duration
}

// withoutConfig are the client's own defaults. It is also how a program is
// known to be an OpenSSH client that has -G.
func (o *openSSH) withoutConfig(ctx context.Context) (answer, error) {
	a, _, err := o.run(ctx, query{host: nobody}, "-F", "none")
	if err == nil && (len(a["port"]) == 0 || len(a["identityfile"]) == 0) {
		err = errors.New("ssh -G prints something else than OpenSSH does")
	}
	return a, err
}

func (o *openSSH) ask(ctx context.Context, q query) (answer, error) {
	var flags []string
	if o.elsewhere() {
		file, err := o.includeFile()
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.Remove(file) }() // a file of three lines in the folder for such
		flags = []string{"-F", file}
	}
	a, warnings, err := o.run(ctx, q, flags...)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		o.warn("ssh: " + w)
	}
	if o.elsewhere() {
		// ssh has put the account's home for ~ already.
		for i, v := range a["userknownhostsfile"] {
			paths := strings.Split(v, " ")
			for j, path := range paths {
				paths[j] = o.atHome(path)
			}
			a["userknownhostsfile"][i] = strings.Join(paths, " ")
		}
		for i, v := range a["identityagent"] {
			a["identityagent"][i] = o.atHome(v)
		}
	}
	return a, nil
}

// atHome is where a path of ssh's answer is that may have begun with ~, for a caller with
// another HOME. One that was written out in full is told by what is there: the answer is the
// same for both.
func (o *openSSH) atHome(path string) string {
	rest, below := strings.CutPrefix(path, o.env.LoginHome+"/")
	if !below {
		return path
	}
	own := filepath.Join(o.env.Home, rest)
	if filepath.Dir(rest) == ".ssh" || exists(own) || !exists(path) {
		return own
	}
	return path
}

// exists tells whether something is at a path; what can't be looked at is there for nobody.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// elsewhere: the caller's HOME is not the home of the account, by which alone
// ssh goes. Everything else of this program goes by HOME.
func (o *openSSH) elsewhere() bool {
	return o.env.LoginHome != "" && o.env.Home != "" && filepath.Clean(o.env.LoginHome) != filepath.Clean(o.env.Home)
}

// includeFile writes a configuration that includes the caller's and the
// system's, since ssh's -F leaves the latter out.
func (o *openSSH) includeFile() (string, error) {
	f, err := os.CreateTemp("", "kubectl-ha-ssh-config-*")
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, path := range o.env.ConfigFiles {
		fmt.Fprintf(&text, "Include \"%s\"\n", path)
	}
	_, err = f.WriteString(text.String())
	if err := errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name()) // the error says enough
		return "", err
	}
	return f.Name(), nil
}

func (o *openSSH) run(ctx context.Context, q query, flags ...string) (answer, []string, error) {
	timeout := o.timeout
	if timeout == 0 {
		timeout = askTimeout
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// -T, since without a terminal ssh remarks that it makes none.
	argv := append([]string{"-G", "-T"}, flags...)
	if q.user != "" {
		if err := checkUser(q.user); err != nil {
			return nil, nil, err
		}
		argv = append(argv, "-l", q.user)
	}
	if q.port != 0 {
		argv = append(argv, "-p", strconv.Itoa(q.port))
	}
	if q.noProxy {
		argv = append(argv, "-o", "ProxyJump=none")
	}
	if err := checkHost(q.host); err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(limited, o.program, append(argv, "--", q.host)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	detach(cmd)
	err := cmd.Run()
	said := lines(errs.Bytes())
	switch {
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case limited.Err() != nil:
		return nil, nil, fmt.Errorf("ssh -G %s did not end within %s; does a Match exec of your SSH configuration hang?", q.host, timeout)
	case err != nil && len(said) > 0:
		return nil, nil, fmt.Errorf("ssh: %s", strings.Join(said, "; "))
	case err != nil:
		return nil, nil, fmt.Errorf("ssh -G %s: %w", q.host, err)
	}
	return parseAnswer(out.Bytes()), said, nil
}

// parseAnswer reads what ssh -G prints: a keyword and its values on each line.
func parseAnswer(data []byte) answer {
	a := answer{}
	for _, line := range lines(data) {
		key, value, _ := strings.Cut(line, " ")
		key = canonical(strings.ToLower(key))
		a[key] = append(a[key], value)
	}
	return a
}

// lines are those that are not empty, without what ends them.
func lines(data []byte) []string {
	var out []string
	scan := bufio.NewScanner(bytes.NewReader(data))
	scan.Buffer(nil, maxLine)
	for scan.Scan() {
		if line := strings.TrimRight(scan.Text(), "\r"); line != "" {
			out = append(out, line)
		}
	}
	return out
}

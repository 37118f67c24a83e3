package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"
	"github.com/distribution/reference"
	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"
)

const (
	// helperTimeout bounds a credential helper, which may ask a person to unlock a store.
	helperTimeout = 2 * time.Minute
	// maxHelperOutput bounds what a helper says, in bytes.
	maxHelperOutput = 1 << 20
	// tokenName is the user's name of a secret that is an identity token.
	tokenName = "<token>"
)

// helperName is what a helper may be called: it becomes part of a program's name, which
// is looked for on the PATH and nowhere else.
var helperName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$`)

// logins finds the logins of registries as docker and podman do. The library's own
// finder passes over a store of docker's (credsStore, the default of Docker Desktop) and
// over logins in two fields.
type logins struct {
	files []loginFile
	// helpers are the ways to a login: the files, and programs.
	helpers []string
	// warn is told of helpers that fail: what is public can be had without them.
	warn func(error)

	mu sync.Mutex
	// asked are the helpers' answers, by program and server.
	asked map[[2]string]types.DockerAuthConfig
}

// newLogins reads the file that was named, or those at the usual places.
func newLogins(system *types.SystemContext, named string, warn func(error)) (*logins, error) {
	helpers, err := sysregistriesv2.CredentialHelpers(system)
	if err != nil {
		return nil, fmt.Errorf("logins of registries: %w", err)
	}
	files, err := readLogins(named, os.Getenv)
	return &logins{files: files, helpers: helpers, warn: warn, asked: map[[2]string]types.DockerAuthConfig{}}, err
}

// find is the login for a repository, empty when there is none. Helpers that
// containers-registries.conf(5) names are asked in the order that it gives them.
func (l *logins) find(ctx context.Context, named reference.Named) (types.DockerAuthConfig, error) {
	for _, helper := range l.helpers {
		login, err := types.DockerAuthConfig{}, error(nil)
		if helper == sysregistriesv2.AuthenticationFileHelper {
			login, err = l.inFiles(ctx, named)
		} else {
			login, err = l.ask(ctx, helper, reference.Domain(named))
		}
		if err != nil || login != (types.DockerAuthConfig{}) {
			return login, err
		}
	}
	return types.DockerAuthConfig{}, nil
}

func (l *logins) inFiles(ctx context.Context, named reference.Named) (types.DockerAuthConfig, error) {
	for _, f := range l.files {
		if login, err := l.of(ctx, f, named); err != nil || login != (types.DockerAuthConfig{}) {
			return login, err
		}
	}
	return types.DockerAuthConfig{}, nil
}

// of is the login that one file leads to: a helper's, or its own where the helper has none.
func (l *logins) of(ctx context.Context, f loginFile, named reference.Named) (types.DockerAuthConfig, error) {
	if program, server := f.helper(reference.Domain(named)); program != "" {
		login, err := l.ask(ctx, program, server)
		if err != nil || login != (types.DockerAuthConfig{}) {
			return login, err
		}
	}
	return f.entry(named.Name())
}

// ask asks a helper once for each server, one after the other: some ask a person. One
// that fails is warned of, and then has none.
func (l *logins) ask(ctx context.Context, program, server string) (types.DockerAuthConfig, error) {
	if !helperName.MatchString(program) {
		return types.DockerAuthConfig{}, fmt.Errorf("the credential helper %.100q can't be: it must be the end of a program's name, docker-credential-NAME", program)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := [2]string{program, server}
	if login, ok := l.asked[key]; ok {
		return login, nil
	}
	login, err := askHelper(ctx, program, server)
	if ctx.Err() != nil {
		return login, ctx.Err()
	}
	if err != nil {
		l.warn(fmt.Errorf("no login for %s from docker-credential-%s: %w", server, program, err))
	}
	l.asked[key] = login
	return login, nil
}

// askHelper runs a helper; the server's name goes to its standard input. An empty login
// is one that it does not have.
// https://github.com/docker/docker-credential-helpers#development
func askHelper(ctx context.Context, program, server string) (types.DockerAuthConfig, error) {
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	got, err := client.Get(func(args ...string) client.Program {
		return &helperProgram{cmd: exec.CommandContext(ctx, "docker-credential-"+program, args...)}
	}, server)
	switch {
	case credentials.IsErrCredentialsNotFound(err):
		return types.DockerAuthConfig{}, nil
	case ctx.Err() != nil:
		return types.DockerAuthConfig{}, fmt.Errorf("it did not answer within %s", helperTimeout)
	case err != nil:
		return types.DockerAuthConfig{}, err
	case got.Username == tokenName:
		return types.DockerAuthConfig{IdentityToken: got.Secret}, nil
	}
	return types.DockerAuthConfig{Username: got.Username, Password: got.Secret}, nil
}

// helperProgram is a client.Program that ends with its context.
type helperProgram struct{ cmd *exec.Cmd }

// Input is what the helper reads.
func (p *helperProgram) Input(in io.Reader) { p.cmd.Stdin = in }

// Output runs the helper. What one printed that failed goes into the error by the
// library: helpers say there what is wrong. That may be no part of a login.
func (p *helperProgram) Output() ([]byte, error) {
	out := &boundedBuffer{left: maxHelperOutput}
	p.cmd.Stdout = out
	// Whoever keeps the streams open beyond the end is not waited for.
	p.cmd.WaitDelay = time.Second
	err := p.cmd.Run()
	if out.left < 0 {
		return nil, errors.Join(errors.New("it says too much"), err)
	}
	said := out.kept.Bytes()
	if err != nil && strings.Contains(string(said), "{") {
		said = nil
	}
	return said, err
}

// boundedBuffer keeps no more than it may.
type boundedBuffer struct {
	kept bytes.Buffer
	left int
}

// Write takes what fits, and drops the rest.
func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return len(p), nil
	}
	return b.kept.Write(p)
}

package bundle

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/containers/image/v5/types"
)

// maxLoginFile bounds a file with logins, in bytes.
const maxLoginFile = 4 << 20

// legacyFile is docker's oldest, with the entries alone.
const legacyFile = ".dockercfg"

// dockerHub is how docker calls its own registry where it keeps logins.
const dockerHub = "index.docker.io"

// loginFile is docker's config.json or a containers-auth.json(5): both have the same
// fields, and each is written by programs that know some of them only.
// https://github.com/docker/cli/blob/master/cli/config/configfile/file.go
type loginFile struct {
	Auths       map[string]loginEntry `json:"auths"`
	CredHelpers map[string]string     `json:"credHelpers"`
	CredsStore  string                `json:"credsStore"`
}

// loginEntry is a login: auth is NAME:PASSWORD in base64, which some write in two fields
// of their own. It is empty where a helper has it.
type loginEntry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
}

// readLoginFile reads a file; one that is not there is an error that wraps fs.ErrNotExist.
func readLoginFile(path string) (loginFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return loginFile{}, fmt.Errorf("logins of registries: %w", err)
	}
	data, err := readBounded(f, maxLoginFile)
	if err = errors.Join(err, f.Close()); err != nil {
		return loginFile{}, fmt.Errorf("logins of registries: %s: %w", path, err)
	}
	var out loginFile
	into := any(&out)
	if filepath.Base(path) == legacyFile {
		into = &out.Auths
	}
	if err := json.Unmarshal(data, into); err != nil && len(strings.TrimSpace(string(data))) > 0 {
		return loginFile{}, fmt.Errorf("logins of registries: %s is not what `docker login` or `podman login` writes: %w", path, err)
	}
	return out, nil
}

// loginPaths are the places of files with logins, in the order in which podman, skopeo
// and buildah look into them; docker's are the last.
// containers-auth.json(5)
func loginPaths(getenv func(string) string) []string {
	var out []string
	add := func(dir string, rest ...string) {
		if dir != "" {
			out = append(out, filepath.Join(slices.Concat([]string{dir}, rest)...))
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // Then there is nothing below it.
	}
	add(getenv("REGISTRY_AUTH_FILE"))
	if runtime.GOOS == "linux" {
		dir := getenv("XDG_RUNTIME_DIR")
		if dir == "" {
			add("/run/containers", strconv.Itoa(os.Getuid()), "auth.json")
		}
		add(dir, "containers", "auth.json")
	}
	if dir := getenv("XDG_CONFIG_HOME"); dir != "" {
		add(dir, "containers", "auth.json")
	} else {
		add(home, ".config", "containers", "auth.json")
	}
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		add(dir, "config.json")
	} else {
		add(home, ".docker", "config.json")
	}
	add(home, legacyFile)
	return out
}

// readLogins reads the file that was named, or those at the usual places that are there.
func readLogins(named string, getenv func(string) string) ([]loginFile, error) {
	if named != "" {
		f, err := readLoginFile(named)
		return []loginFile{f}, err
	}
	var out []loginFile
	for _, path := range loginPaths(getenv) {
		f, err := readLoginFile(path)
		switch {
		case err == nil:
			out = append(out, f)
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
			return nil, err
		}
	}
	return out, nil
}

// entry is the login that the file itself has for a repository: the one of the longest
// path that leads to it, as containers-auth.json(5) has them, then the registry's in
// whatever form docker wrote it.
func (f loginFile) entry(repository string) (types.DockerAuthConfig, error) {
	for key := range paths(repository) {
		if e, ok := f.Auths[key]; ok && e != (loginEntry{}) {
			return e.login(key)
		}
	}
	host := hubName(hostOf(repository))
	for _, key := range slices.Sorted(maps.Keys(f.Auths)) {
		if e := f.Auths[key]; e != (loginEntry{}) && keyHost(key) == host {
			return e.login(key)
		}
	}
	return types.DockerAuthConfig{}, nil
}

// helper is the program that has the login of a registry, and the name that it knows
// this under; empty when no helper is for it.
func (f loginFile) helper(host string) (program, server string) {
	for _, key := range slices.Sorted(maps.Keys(f.CredHelpers)) {
		if key == host || keyHost(key) == hubName(host) {
			return f.CredHelpers[key], key
		}
	}
	return f.CredsStore, serverName(host)
}

// login is the entry's; key is for messages, since no part of a login belongs into one.
func (e loginEntry) login(key string) (types.DockerAuthConfig, error) {
	out := types.DockerAuthConfig{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken}
	if e.Auth == "" {
		return out, nil
	}
	plain, err := base64.StdEncoding.DecodeString(e.Auth)
	name, password, ok := strings.Cut(string(plain), ":")
	if err != nil || !ok {
		return out, fmt.Errorf("the login for %.200q: its auth is not NAME:PASSWORD in base64", key)
	}
	// Docker itself takes the zeros away that an old version left there.
	out.Username, out.Password = name, strings.TrimRight(password, "\x00")
	return out, nil
}

// paths are a repository's name, and what leads to it.
func paths(repository string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for at := repository; yield(at); {
			i := strings.LastIndexByte(at, '/')
			if i < 0 {
				return
			}
			at = at[:i]
		}
	}
}

func hostOf(repository string) string {
	host, _, _ := strings.Cut(repository, "/")
	return host
}

// keyHost is the registry of a key that docker wrote, which may be a URL.
func keyHost(key string) string {
	bare := strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	if bare != key {
		bare = hostOf(bare)
	}
	return hubName(bare)
}

// hubName makes the names of docker's own registry one.
func hubName(host string) string {
	if host == "docker.io" || host == "registry-1.docker.io" {
		return dockerHub
	}
	return host
}

// serverName is what docker asks a helper for.
func serverName(host string) string {
	if hubName(host) == dockerHub {
		return "https://" + dockerHub + "/v1/"
	}
	return host
}

package prepare

import (
	"bytes"
	"embed"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

//go:embed files
var files embed.FS

// values fill in the templates in files/.
type values struct {
	Containerd, Kubelet string
	// MayRaiseLimits: systemd may raise hard limits and lower OOM scores.
	MayRaiseLimits bool
	SandboxImage   string
	Environment    []string
	// EnvironmentFile is where the environment is.
	EnvironmentFile string
	Server          string
	Mirrors         []mirror
}

// mirror is one host of a hosts.toml.
type mirror struct {
	URL          string
	OverridePath bool
}

// render fills in one of the embedded templates.
func render(name string, v values) ([]byte, error) {
	funcs := template.FuncMap{"toml": strconv.Quote, "envfile": quoteEnvironmentFile}
	t, err := template.New(name+".tmpl").Funcs(funcs).Option("missingkey=error").ParseFS(files, "files/"+name+".tmpl")
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// quoteEnvironmentFile quotes an assignment's value for a file of EnvironmentFile=, systemd.exec(5): inside
// double quotes a backslash keeps one of "\`$ from being special. A percent sign is not special
// there, nor is a newline.
func quoteEnvironmentFile(assignment string) string {
	name, value, _ := strings.Cut(assignment, "=")
	return name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$", `\$`).Replace(value) + `"`
}

// hostsTOML is containerd's file of one registry's mirrors:
// https://github.com/containerd/containerd/blob/main/docs/hosts.md
func hostsTOML(registry string, urls []string) ([]byte, error) {
	v := values{Server: "https://" + registry}
	if registry == "docker.io" {
		v.Server = "https://registry-1.docker.io"
	}
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("the mirror %q of %s is not a URL like https://mirror:5000", raw, registry)
		}
		m := mirror{URL: u.Scheme + "://" + u.Host}
		if path := strings.Trim(u.Path, "/"); path != "" {
			// A path below the registry's own API.
			m.URL += "/v2/" + strings.TrimPrefix(path, "v2/")
			m.OverridePath = true
		}
		v.Mirrors = append(v.Mirrors, m)
	}
	return render("hosts.toml", v)
}

// checkEnvironment refuses what would be something else in a unit file.
func checkEnvironment(environment []string) error {
	bad := slices.IndexFunc(environment, func(e string) bool {
		name, _, ok := strings.Cut(e, "=")
		return !ok || name == "" || strings.ContainsAny(name, " \t\n\"'\\")
	})
	if bad >= 0 {
		name, _, _ := strings.Cut(environment[bad], "=")
		return fmt.Errorf("the environment has %q, which is not NAME=value", name)
	}
	return nil
}

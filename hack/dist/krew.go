package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"
)

// manifest fills krew/ha.yaml.tmpl.
type manifest struct {
	Version   string
	Platforms []krewPlatform
}

type krewPlatform struct{ OS, Arch, Bin, URI, SHA256 string }

// render fills the template and checks the outcome.
func (m manifest) render(text string) ([]byte, error) {
	t, err := template.New("krew").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the krew template: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, m); err != nil {
		return nil, fmt.Errorf("the krew template: %w", err)
	}
	return out.Bytes(), checkManifest(out.Bytes())
}

// krewPlugin is the part of a krew manifest that its rules are about.
// https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/
type krewPlugin struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Version          string         `json:"version"`
		Homepage         string         `json:"homepage"`
		ShortDescription string         `json:"shortDescription"`
		Description      string         `json:"description"`
		Caveats          string         `json:"caveats"`
		Platforms        []krewDownload `json:"platforms"`
	} `json:"spec"`
}

type krewDownload struct {
	Selector struct {
		MatchLabels map[string]string `json:"matchLabels"`
	} `json:"selector"`
	URI    string `json:"uri"`
	SHA256 string `json:"sha256"`
	Bin    string `json:"bin"`
}

var (
	semver    = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9A-Za-z.-]+)?$`)
	sha256hex = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// checkManifest refuses what krew's index would refuse.
// https://krew.sigs.k8s.io/docs/developer-guide/develop/naming-guide/
func checkManifest(data []byte) error {
	var p krewPlugin
	if err := yaml.UnmarshalStrict(data, &p); err != nil {
		return fmt.Errorf("the krew manifest: %w", err)
	}
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("the krew manifest: "+format, args...))
		}
	}
	short := p.Spec.ShortDescription
	refuse(p.APIVersion != "krew.googlecontainertools.github.com/v1alpha2", "apiVersion is %q", p.APIVersion)
	refuse(p.Kind != "Plugin", "kind is %q", p.Kind)
	refuse(p.Metadata.Name != "ha", "name is %q, the program is kubectl-ha", p.Metadata.Name)
	refuse(!semver.MatchString(p.Spec.Version), "version %q is no vX.Y.Z", p.Spec.Version)
	refuse(p.Spec.Homepage != project, "homepage is %q", p.Spec.Homepage)
	refuse(p.Spec.Description == "", "there is no description")
	refuse(short == "" || len(short) > 50 || strings.HasSuffix(short, "."), "shortDescription must have 1 to 50 characters and no full stop: %q", short)
	refuse(strings.Contains(strings.ToLower(short), "kubectl"), "shortDescription says that it is for kubectl, which is plain: %q", short)
	refuse(!strings.Contains(p.Spec.Caveats, "kubectl_complete-ha") || !strings.Contains(p.Spec.Caveats, "/"+p.Spec.Version+"/"),
		"the caveats do not say where this version's kubectl_complete-ha is: %q", p.Spec.Caveats)
	refuse(len(p.Spec.Platforms) == 0, "there are no platforms")
	var seen []string
	for _, d := range p.Spec.Platforms {
		goos, arch := d.Selector.MatchLabels["os"], d.Selector.MatchLabels["arch"]
		name := goos + "/" + arch
		refuse(goos == "" || arch == "" || len(d.Selector.MatchLabels) != 2, "the selector %v is not of one os and arch", d.Selector.MatchLabels)
		refuse(slices.Contains(seen, name), "%s is there twice", name)
		seen = append(seen, name)
		refuse(!sha256hex.MatchString(d.SHA256), "%s: sha256 is %q", name, d.SHA256)
		refuse(d.Bin != (platform{goos, arch}).Bin(), "%s: bin is %q", name, d.Bin)
		u, err := url.Parse(d.URI)
		refuse(err != nil || u == nil || u.Scheme != "https" || !strings.HasSuffix(d.URI, ".tar.gz") || !strings.Contains(d.URI, "/"+p.Spec.Version+"/"),
			"%s: uri is %q", name, d.URI)
	}
	return errors.Join(errs...)
}

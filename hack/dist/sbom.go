package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// document is a bill of materials in SPDX 2.3's JSON form: the fields that are
// required, and those that are known. https://spdx.github.io/spdx-spec/v2.3/
type document struct {
	Version       string         `json:"spdxVersion"`
	DataLicense   string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      creation       `json:"creationInfo"`
	Packages      []component    `json:"packages"`
	Relationships []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type component struct {
	Name      string      `json:"name"`
	ID        string      `json:"SPDXID"`
	Version   string      `json:"versionInfo"`
	Download  string      `json:"downloadLocation"`
	Analyzed  bool        `json:"filesAnalyzed"`
	Concluded string      `json:"licenseConcluded"`
	Declared  string      `json:"licenseDeclared"`
	Copyright string      `json:"copyrightText"`
	Sums      []sum       `json:"checksums,omitempty"`
	Refs      []reference `json:"externalRefs,omitempty"`
}

type sum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type reference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

// writeSBOM writes what a platform's program is made of, as the linker noted it.
func (r *release) writeSBOM(p platform) (name string, err error) {
	info, err := buildinfo.ReadFile(r.program(p))
	if err != nil {
		return "", fmt.Errorf("the modules of the program for %s/%s: %w", p.OS, p.Arch, err)
	}
	digest, err := host.FileSum(r.program(p))
	if err != nil {
		return "", err
	}
	data, err := json.MarshalIndent(sbom(r.version, p, digest, info, epoch), "", "  ")
	if err != nil {
		return "", err
	}
	name = strings.TrimSuffix(p.Archive(), ".tar.gz") + ".spdx.json"
	return name, os.WriteFile(filepath.Join(r.out, name), append(data, '\n'), 0o644)
}

// sbom is pure: the same program gives the same document.
func sbom(version string, p platform, digest string, info *debug.BuildInfo, created time.Time) document {
	d := document{Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: "kubectl-ha-" + version + "-" + p.OS + "-" + p.Arch,
		Namespace: project + "/sbom/" + version + "/" + digest, Creation: creation{Created: created.Format(time.RFC3339), Creators: []string{"Tool: kubectl-ha-dist"}}}
	d.Packages = []component{{Name: "kubectl-ha", ID: "SPDXRef-program", Version: version, Download: project + "/releases/download/" + version + "/" + p.Archive(),
		Concluded: "Apache-2.0", Declared: "Apache-2.0", Copyright: "NOASSERTION", Sums: []sum{{"SHA256", digest}}}}
	d.Relationships = []relationship{{d.ID, "DESCRIBES", "SPDXRef-program"}}
	modules := slices.Clone(info.Deps)
	modules = append(modules, &debug.Module{Path: "stdlib", Version: info.GoVersion})
	slices.SortFunc(modules, func(a, b *debug.Module) int { return strings.Compare(a.Path, b.Path) })
	for i, m := range modules {
		if m.Replace != nil {
			m = m.Replace
		}
		id := fmt.Sprintf("SPDXRef-module-%d", i+1)
		d.Packages = append(d.Packages, component{Name: m.Path, ID: id, Version: m.Version, Download: "NOASSERTION", Concluded: "NOASSERTION", Declared: "NOASSERTION", Copyright: "NOASSERTION",
			Refs: []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + m.Path + "@" + m.Version}}})
		d.Relationships = append(d.Relationships, relationship{"SPDXRef-program", "DEPENDS_ON", id})
	}
	return d
}

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
	"github.com/kubectl-ha/kubectl-ha/pkg/spdx"
)

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
func sbom(version string, p platform, digest string, info *debug.BuildInfo, created time.Time) spdx.Document {
	const license, programID = "Apache-2.0", "SPDXRef-program"
	d := spdx.New("kubectl-ha-"+version+"-"+p.OS+"-"+p.Arch, project+"/sbom/"+version+"/"+digest, "kubectl-ha-dist", created)
	program := spdx.NewPackage("kubectl-ha", programID, version)
	program.DownloadLocation = project + "/releases/download/" + version + "/" + p.Archive()
	program.LicenseConcluded, program.LicenseDeclared, program.Checksums = license, license, spdx.SHA256(digest)
	d.Packages = []spdx.Package{program}
	d.Relationships = []spdx.Relationship{{Element: d.ID, Related: programID, Type: spdx.Describes}}
	modules := slices.Clone(info.Deps)
	modules = append(modules, &debug.Module{Path: "stdlib", Version: info.GoVersion})
	slices.SortFunc(modules, func(a, b *debug.Module) int { return strings.Compare(a.Path, b.Path) })
	for i, m := range modules {
		if m.Replace != nil {
			m = m.Replace
		}
		module := spdx.NewPackage(m.Path, fmt.Sprintf("SPDXRef-module-%d", i+1), m.Version)
		module.Refs = spdx.PURL("pkg:golang/" + m.Path + "@" + m.Version)
		d.Packages = append(d.Packages, module)
		d.Relationships = append(d.Relationships, spdx.Relationship{Element: programID, Related: module.ID, Type: spdx.DependsOn})
	}
	return d
}

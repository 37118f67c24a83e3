package bundle

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// SPDX is a bill of materials: a document of SPDX 2.3 in its JSON form, with
// the fields that https://spdx.github.io/spdx-spec/v2.3/ requires and those
// that are known.
type SPDX struct {
	Version       string             `json:"spdxVersion"`
	DataLicense   string             `json:"dataLicense"`
	ID            string             `json:"SPDXID"`
	Name          string             `json:"name"`
	Namespace     string             `json:"documentNamespace"`
	Creation      SPDXCreation       `json:"creationInfo"`
	Packages      []SPDXPackage      `json:"packages"`
	Relationships []SPDXRelationship `json:"relationships"`
}

// SPDXCreation says when and by what the document was made.
type SPDXCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

// SPDXPackage is one thing that is delivered.
type SPDXPackage struct {
	Name             string         `json:"name"`
	ID               string         `json:"SPDXID"`
	Version          string         `json:"versionInfo,omitempty"`
	Purpose          string         `json:"primaryPackagePurpose"`
	DownloadLocation string         `json:"downloadLocation"`
	FilesAnalyzed    bool           `json:"filesAnalyzed"`
	SourceInfo       string         `json:"sourceInfo,omitempty"`
	LicenseConcluded string         `json:"licenseConcluded"`
	LicenseDeclared  string         `json:"licenseDeclared"`
	Copyright        string         `json:"copyrightText"`
	Checksums        []SPDXChecksum `json:"checksums"`
	References       []SPDXExternal `json:"externalRefs,omitempty"`
}

// SPDXChecksum is a digest.
type SPDXChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

// SPDXExternal is a name of the package elsewhere.
type SPDXExternal struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

// SPDXRelationship ties two of the document's elements.
type SPDXRelationship struct {
	Element string `json:"spdxElementId"`
	Related string `json:"relatedSpdxElement"`
	Type    string `json:"relationshipType"`
}

const (
	spdxDocument = "SPDXRef-DOCUMENT"
	spdxBundle   = "SPDXRef-bundle"
	spdxUnknown  = "NOASSERTION"
)

// SBOM writes down what the bundle holds: the bundle as one package, and each
// image and program that it contains as another. created is the document's
// time; all else follows from the bundle.
func (b *Bundle) SBOM(created time.Time) SPDX {
	name := "kubectl-ha-bundle"
	if v := b.contents.KubernetesVersion; v != "" {
		name += "-" + v
	}
	own := spdxPackage(name, spdxBundle, b.contents.KubernetesVersion, b.identity)
	own.Purpose, own.SourceInfo = "ARCHIVE", "the checksum is that of the bundle's own manifest"
	out := SPDX{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: spdxDocument, Name: name,
		Namespace: "https://kubectl-ha.dev/spdx/" + name + "-" + b.identity.Encoded(),
		Creation:  SPDXCreation{Created: created.UTC().Format(time.RFC3339), Creators: []string{"Tool: kubectl-ha"}},
		Packages:  []SPDXPackage{own},
		Relationships: []SPDXRelationship{
			{Element: spdxDocument, Related: spdxBundle, Type: "DESCRIBES"}},
	}
	for n, i := range b.contents.Items() {
		p := i.spdx(fmt.Sprintf("SPDXRef-%s-%d", i.Kind, n+1))
		out.Packages = append(out.Packages, p)
		out.Relationships = append(out.Relationships, SPDXRelationship{Element: spdxBundle, Related: p.ID, Type: "CONTAINS"})
	}
	return out
}

func spdxPackage(name, id, version string, d digest.Digest) SPDXPackage {
	return SPDXPackage{Name: name, ID: id, Version: version, DownloadLocation: spdxUnknown,
		LicenseConcluded: spdxUnknown, LicenseDeclared: spdxUnknown, Copyright: spdxUnknown,
		Checksums: []SPDXChecksum{{Algorithm: "SHA256", Value: d.Encoded()}}}
}

func (i Item) spdx(id string) SPDXPackage {
	p := spdxPackage(i.Name, id, i.Version, i.Digest)
	p.Purpose = "CONTAINER"
	if i.Kind == KindProgram {
		p.Name, p.Purpose = path.Base(i.Name), "APPLICATION"
	}
	// A place that something can be got from; a local file's kind is none.
	if strings.Contains(i.Source, "://") {
		p.DownloadLocation = i.Source
	} else {
		p.SourceInfo = cmp.Or(i.Source, spdxUnknown)
	}
	p.References = []SPDXExternal{{Category: "PACKAGE-MANAGER", Type: "purl", Locator: i.purl()}}
	return p
}

// purl is the package's URL: https://github.com/package-url/purl-spec
func (i Item) purl() string {
	if i.Kind == KindProgram {
		q := url.Values{"arch": {i.Arch}, "checksum": {i.Digest.String()}, "download_url": {i.Source}}
		return "pkg:generic/" + url.PathEscape(path.Base(i.Name)) + "@" + url.PathEscape(i.Version) + "?" + q.Encode()
	}
	q := url.Values{"arch": {i.Arch}, "repository_url": {i.Name}}
	if !strings.HasPrefix(i.Version, "sha256:") {
		q.Set("tag", i.Version)
	}
	return "pkg:oci/" + url.PathEscape(path.Base(i.Name)) + "@" + url.QueryEscape(i.Digest.String()) + "?" + q.Encode()
}

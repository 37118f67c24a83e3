package bundle

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/spdx"
)

const spdxBundle = "SPDXRef-bundle"

// SBOM writes down what the bundle holds: the bundle as one package, and each
// image and program that it contains as another. created is the document's
// time; all else follows from the bundle.
func (b *Bundle) SBOM(created time.Time) spdx.Document {
	name := "kubectl-ha-bundle"
	if v := b.contents.KubernetesVersion; v != "" {
		name += "-" + v
	}
	own := spdxPackage(name, spdxBundle, b.contents.KubernetesVersion, b.identity)
	own.Purpose, own.SourceInfo = "ARCHIVE", "the checksum is that of the bundle's own manifest"
	out := spdx.New(name, "https://kubectl-ha.dev/spdx/"+name+"-"+b.identity.Encoded(), "kubectl-ha", created)
	out.Packages = []spdx.Package{own}
	out.Relationships = []spdx.Relationship{{Element: spdx.DocumentID, Related: spdxBundle, Type: spdx.Describes}}
	for n, i := range b.contents.Items() {
		p := i.spdx(fmt.Sprintf("SPDXRef-%s-%d", i.Kind, n+1))
		out.Packages = append(out.Packages, p)
		out.Relationships = append(out.Relationships, spdx.Relationship{Element: spdxBundle, Related: p.ID, Type: spdx.Contains})
	}
	return out
}

func spdxPackage(name, id, version string, d digest.Digest) spdx.Package {
	p := spdx.NewPackage(name, id, version)
	p.Checksums = spdx.SHA256(d.Encoded())
	return p
}

func (i Item) spdx(id string) spdx.Package {
	p := spdxPackage(i.Name, id, i.Version, i.Digest)
	p.Purpose = "CONTAINER"
	if i.Kind == KindProgram {
		p.Name, p.Purpose = path.Base(i.Name), "APPLICATION"
	}
	// A place that something can be got from; a local file's kind is none.
	if strings.Contains(i.Source, "://") {
		p.DownloadLocation = i.Source
	} else {
		p.SourceInfo = cmp.Or(i.Source, spdx.Unknown)
	}
	p.Refs = spdx.PURL(i.purl())
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

// Package spdx has the documents of SPDX 2.3 in their JSON form: the fields that
// https://spdx.github.io/spdx-spec/v2.3/ requires, and those that are known here. A
// bundle's bill of materials and a release's are such documents.
package spdx

import "time"

const (
	// DocumentID is the document's own identifier.
	DocumentID = "SPDXRef-DOCUMENT"
	// Unknown stands where nothing is said.
	Unknown = "NOASSERTION"
	// Describes, Contains and DependsOn are types of relationships.
	Describes = "DESCRIBES"
	Contains  = "CONTAINS"
	DependsOn = "DEPENDS_ON"
)

// Document is a bill of materials.
type Document struct {
	Version       string         `json:"spdxVersion"`
	DataLicense   string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      Creation       `json:"creationInfo"`
	Packages      []Package      `json:"packages"`
	Relationships []Relationship `json:"relationships"`
}

// Creation says when and by what the document was made.
type Creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

// Package is one thing that is delivered, or that another is made of.
type Package struct {
	Name             string      `json:"name"`
	ID               string      `json:"SPDXID"`
	Version          string      `json:"versionInfo,omitempty"`
	Purpose          string      `json:"primaryPackagePurpose,omitempty"`
	DownloadLocation string      `json:"downloadLocation"`
	FilesAnalyzed    bool        `json:"filesAnalyzed"`
	SourceInfo       string      `json:"sourceInfo,omitempty"`
	LicenseConcluded string      `json:"licenseConcluded"`
	LicenseDeclared  string      `json:"licenseDeclared"`
	Copyright        string      `json:"copyrightText"`
	Checksums        []Checksum  `json:"checksums,omitempty"`
	Refs             []Reference `json:"externalRefs,omitempty"`
}

// Checksum is a digest.
type Checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

// Reference is a name of the package elsewhere.
type Reference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

// Relationship ties two of the document's elements.
type Relationship struct {
	Element string `json:"spdxElementId"`
	Related string `json:"relatedSpdxElement"`
	Type    string `json:"relationshipType"`
}

// New is a document without any package. tool is the name of what makes it.
func New(name, namespace, tool string, created time.Time) Document {
	return Document{Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: DocumentID, Name: name, Namespace: namespace,
		Creation: Creation{Created: created.UTC().Format(time.RFC3339), Creators: []string{"Tool: " + tool}}}
}

// NewPackage is a package of which nothing else is known.
func NewPackage(name, id, version string) Package {
	return Package{Name: name, ID: id, Version: version, DownloadLocation: Unknown,
		LicenseConcluded: Unknown, LicenseDeclared: Unknown, Copyright: Unknown}
}

// SHA256 is the checksum of what has this digest, in hex.
func SHA256(hex string) []Checksum { return []Checksum{{Algorithm: "SHA256", Value: hex}} }

// PURL is the package's URL, as a name of it elsewhere: https://github.com/package-url/purl-spec
func PURL(url string) []Reference {
	return []Reference{{Category: "PACKAGE-MANAGER", Type: "purl", Locator: url}}
}

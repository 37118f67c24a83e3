package bundle

import (
	"bufio"
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// ReleaseDigestsFile is what this release says that files and images must be.
//
//go:embed digests.txt
var ReleaseDigestsFile string

// Digests says what files and images must be: by a file's upstream URL, or an
// image's full reference. An empty digest is one that is known to be missing.
type Digests map[string]digest.Digest

// ReleaseDigests are those of the versions that this release fixes.
func ReleaseDigests() (Digests, error) { return ParseDigests(ReleaseDigestsFile) }

// ParseDigests reads lines as sha256sum writes them, with the URL or the reference
// in place of the file: the digest in hex, or "-" where it is not known, two spaces,
// the name. Empty lines and those that begin with # say nothing.
func ParseDigests(text string) (Digests, error) {
	out := Digests{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		sum, name, ok := strings.Cut(line, "  ")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("line %d of the digests: %.200q is not a digest, two spaces and a name", n, line)
		}
		if _, ok := out[name]; ok {
			return nil, fmt.Errorf("line %d of the digests: %s is there twice", n, name)
		}
		out[name] = ""
		if sum == "-" {
			continue
		}
		out[name] = digest.NewDigestFromEncoded(digest.SHA256, sum)
		if err := checkDigest(out[name]); err != nil {
			return nil, fmt.Errorf("line %d of the digests: %s: %w", n, name, err)
		}
	}
	return out, lines.Err()
}

// Fixed is a file or an image whose version a release of kubectl-ha fixes.
type Fixed struct {
	// Name is the file's upstream URL, or the image's full reference.
	Name string
	// Sums is the URL of upstream's list of checksums; empty for an image.
	Sums string
	// file is the name by which that list knows it.
	file string
}

// FixedByRelease lists what this package fixes, in order of the names. Kubernetes'
// own programs and images have the user's version, and addons theirs.
func FixedByRelease() []Fixed {
	var out []Fixed
	for _, arch := range knownArchs() {
		for _, d := range catalogue("", DefaultEtcdVersion, arch) {
			if d.component != ComponentKubernetes {
				out = append(out, Fixed{Name: d.url, Sums: d.sums, file: d.file()})
			}
		}
	}
	images := append(flannelImages(), HAProxyImage, NginxImage)
	for _, tags := range kubeadmTagsByMinor() {
		images = append(images, KubernetesRegistry+"/coredns/coredns:"+tags.coreDNS, KubernetesRegistry+"/pause:"+tags.pause, KubernetesRegistry+"/"+etcdName+":"+tags.etcd)
	}
	for _, ref := range images {
		out = append(out, Fixed{Name: ref})
	}
	slices.SortFunc(out, func(a, b Fixed) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b Fixed) bool { return a.Name == b.Name })
}

// PublishedSum asks upstream for the checksum of a fixed file.
func PublishedSum(ctx context.Context, client *http.Client, f Fixed) (digest.Digest, error) {
	d := &downloader{client: client}
	sums, err := d.text(ctx, f.Sums)
	if err != nil {
		return "", err
	}
	sum, err := parseSum(sums, f.file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.Sums, err)
	}
	return digest.NewDigestFromEncoded(digest.SHA256, sum), nil
}

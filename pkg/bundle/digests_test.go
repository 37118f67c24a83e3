package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/signature"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/opencontainers/go-digest"
)

func TestParseDigests(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	got, err := ParseDigests("# a comment\n\n" + sum + "  https://example.com/a\n-  example.com/b:v1\n")
	must(t, err)
	if len(got) != 2 || got["https://example.com/a"] != digest.Digest("sha256:"+sum) || got["example.com/b:v1"] != "" {
		t.Errorf("got %v", got)
	}
	for what, text := range map[string]string{
		"one space": sum + " a", "no name": sum + "  ", "short": sum[2:] + "  a", "capitals": strings.ToUpper(sum) + "  a", "a comment after it": sum + "  a # b",
		"twice": sum + "  a\n-  a", "nothing known": "  a", "another algorithm": "sha512:" + sum + "  a",
	} {
		if got, err := ParseDigests(text); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v %v", what, got, err)
		}
	}
}

// sumOf is the digest of what the mirror has under an upstream URL.
func (m *fakeMirror) sumOf(url string) digest.Digest {
	sum := sha256.Sum256(m.files[mirrorPath(url)])
	return digest.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// downloadNamed is one of the catalogue's.
func downloadNamed(t *testing.T, name string) download {
	t.Helper()
	all := catalogue(testVersion, DefaultEtcdVersion, "amd64")
	i := slices.IndexFunc(all, func(d download) bool { return d.name == name })
	if i < 0 {
		t.Fatalf("no %s", name)
	}
	return all[i]
}

// TestProgramsAreWhatTheReleaseSays: what has a digest here is compared with it, and
// not with the sum that lies beside it.
func TestProgramsAreWhatTheReleaseSays(t *testing.T) {
	runc := downloadNamed(t, "runc")
	other := digest.FromString("something else")
	for what, tc := range map[string]struct {
		digests Digests
		trust   bool
		refused bool
		check   Check
		// asked says whether the origin's own sums are looked at.
		asked bool
	}{
		"the same":              {Digests{runc.url: ""}, false, false, CheckRelease, false},
		"another":               {Digests{runc.url: other}, false, true, "", false},
		"not known":             {Digests{runc.url: ""}, false, false, CheckOrigin, true},
		"a mirror of own build": {Digests{runc.url: other}, true, false, CheckOrigin, true},
	} {
		t.Run(what, func(t *testing.T) {
			m := newFakeMirror(t)
			m.seed()
			opts := m.options(t)
			opts.TrustMirror, opts.Digests = tc.trust, tc.digests
			if what == "the same" {
				opts.Digests[runc.url] = m.sumOf(runc.url)
			}
			c, err := Create(t.Context(), opts, nil)
			if tc.refused {
				if err == nil || !strings.Contains(err.Error(), "is not what this release of kubectl-ha says it is") || !strings.Contains(err.Error(), "spec.images.trustMirror") {
					t.Errorf("got %v", err)
				}
				if _, err := os.Stat(opts.Output); err == nil {
					t.Error("there is something under the bundle's name")
				}
			} else {
				must(t, err)
			}
			for _, b := range c.Binaries {
				if want := map[bool]Check{true: tc.check, false: CheckOrigin}[b.Name == "runc"]; b.Check != want {
					t.Errorf("%s was checked by %q, want %q", b.Name, b.Check, want)
				}
			}
			if asked := m.count(mirrorPath(runc.sums)) > 0; asked != tc.asked {
				t.Errorf("the origin's own sums: asked %v, want %v", asked, tc.asked)
			}
		})
	}
}

// TestImagesAreWhatTheReleaseSays: what has a digest here is asked for by that, whatever
// its tag has become.
func TestImagesAreWhatTheReleaseSays(t *testing.T) {
	const ref = "quay.io/a/b:v1"
	indexDigest := func(t *testing.T, m *fakeMirror) digest.Digest {
		target, err := name.ParseReference(m.host()+"/"+ref, name.Insecure)
		must(t, err)
		got, err := remote.Head(target)
		must(t, err)
		return digest.Digest(got.Digest.String())
	}
	for what, tc := range map[string]struct {
		spoil   func(m *fakeMirror, o *CreateOptions)
		refused string
		check   Check
	}{
		"the same":      {func(*fakeMirror, *CreateOptions) {}, "", CheckRelease},
		"the tag moved": {func(m *fakeMirror, _ *CreateOptions) { m.push(ref, "amd64") }, "", CheckRelease},
		"not there": {func(_ *fakeMirror, o *CreateOptions) { o.Digests[ref] = digest.FromString("x") },
			"wants it with the digest " + digest.FromString("x").String(), ""},
		"not known":               {func(_ *fakeMirror, o *CreateOptions) { o.Digests[ref] = "" }, "", CheckNone},
		"a mirror of own builds":  {func(_ *fakeMirror, o *CreateOptions) { o.Digests[ref], o.TrustMirror = digest.FromString("x"), true }, "", CheckNone},
		"its own reference's":     {func(_ *fakeMirror, o *CreateOptions) { o.ExtraImages[0] = "quay.io/a/b@" + o.Digests[ref].String() }, "", CheckReference},
		"other bytes are served":  {func(m *fakeMirror, _ *CreateOptions) { m.lie(ref) }, "does not match", ""},
		"a local file of its own": {func(m *fakeMirror, o *CreateOptions) { o.From = []string{savedFile(m.t, ref)} }, "", CheckNone},
	} {
		t.Run(what, func(t *testing.T) {
			m := newFakeMirror(t)
			m.push(ref, "amd64", "arm64")
			opts := m.imagesOnly(t, ref)
			opts.TrustMirror, opts.Digests = false, Digests{ref: indexDigest(t, m)}
			tc.spoil(m, &opts)
			c, err := Create(t.Context(), opts, nil)
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) || !strings.Contains(err.Error(), "skopeo copy --all") {
					t.Errorf("got %v", err)
				}
				return
			}
			must(t, err)
			if len(c.Images) != 1 || c.Images[0].Check != tc.check {
				t.Errorf("got %+v", c.Images)
			}
		})
	}
}

// TestTrustedMirrors: a mirror of one registry is not trusted with what comes from another.
func TestTrustedMirrors(t *testing.T) {
	const ref = "quay.io/a/b:v1"
	pin := digest.FromString("x")
	for what, tc := range map[string]struct {
		opts CreateOptions
		want digest.Digest
	}{
		"no mirror":            {CreateOptions{}, pin},
		"a mirror of all":      {CreateOptions{Mirror: "http://m"}, pin},
		"trusted":              {CreateOptions{Mirror: "http://m", TrustMirror: true}, ""},
		"this registry's":      {CreateOptions{Mirrors: map[string]string{"quay.io": "m"}, TrustMirror: true}, ""},
		"another registry's":   {CreateOptions{Mirrors: map[string]string{"docker.io": "m"}, TrustMirror: true}, pin},
		"trust without a word": {CreateOptions{TrustMirror: true}, pin},
	} {
		tc.opts.Digests = Digests{ref: pin}
		if got := tc.opts.pin(ref); got != tc.want {
			t.Errorf("%s: %q, want %q", what, got, tc.want)
		}
	}
}

// lie serves another image's manifest for every digest of a repository.
func (m *fakeMirror) lie(ref string) {
	repository := "/v2/" + strings.Split(ref, ":")[0]
	m.push("quay.io/a/evil:v1", "amd64")
	target, err := name.ParseReference(m.host()+"/quay.io/a/evil:v1", name.Insecure)
	must(m.t, err)
	evil, err := remote.Get(target)
	must(m.t, err)
	m.push(ref, "amd64", "arm64")
	good, err := remote.Head(target.Context().Registry.Repo("quay.io", "a", "b").Tag("v1"))
	must(m.t, err)
	m.hook(repository+"/manifests/"+good.Digest.String(), func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.Header().Set("Content-Type", string(evil.MediaType))
		_, err := w.Write(evil.Manifest)
		must(m.t, err)
		return true
	})
}

// savedFile is an archive as `docker save` writes it, with one image.
func savedFile(t *testing.T, ref string) string {
	t.Helper()
	tag, err := name.NewTag(ref)
	must(t, err)
	file := filepath.Join(t.TempDir(), "saved.tar")
	must(t, tarball.WriteToFile(file, tag, testImage(t, ref, "amd64")))
	return file
}

// TestPolicyRequires: only what a policy asks something of counts as signed.
func TestPolicyRequires(t *testing.T) {
	const (
		accept = `[{"type":"insecureAcceptAnything"}]`
		key    = `[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}]`
	)
	for _, tc := range []struct {
		policy string
		ref    string
		want   bool
	}{
		{`{"default":` + accept + `}`, "//quay.io/a/b:v1", false},
		{`{"default":` + key + `}`, "//quay.io/a/b:v1", true},
		{`{"default":[{"type":"reject"}],"transports":{"docker":{"quay.io/a":` + accept + `}}}`, "//quay.io/a/b:v1", false},
		{`{"default":` + accept + `,"transports":{"docker":{"quay.io":` + key + `}}}`, "//quay.io/a/b:v1", true},
		{`{"default":` + accept + `,"transports":{"docker":{"quay.io":` + key + `,"quay.io/a/b:v1":` + accept + `}}}`, "//quay.io/a/b:v1", false},
		{`{"default":` + accept + `,"transports":{"docker":{"":` + key + `}}}`, "//docker.io/library/c:v1", true},
		{`{"default":` + accept + `,"transports":{"docker":{"*.example.com":` + key + `}}}`, "//sub.example.com/c:v1", true},
		{`{"default":` + accept + `,"transports":{"dir":{"":` + key + `}}}`, "//quay.io/a/b:v1", false},
	} {
		policy, err := signature.NewPolicyFromBytes([]byte(tc.policy))
		must(t, err)
		ref, err := docker.ParseReference(tc.ref)
		must(t, err)
		if got := signed(policy, ref); got != tc.want {
			t.Errorf("%s by %s: %v", tc.ref, tc.policy, got)
		}
	}
}

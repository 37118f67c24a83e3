// Command digests fills in what pkg/bundle/digests.txt does not know yet, from upstream:
// a file's checksum from upstream's own list, an image's digest from its registry. What
// is known already must be what upstream says today; what no release fixes any more goes.
// Comments stay as they are. Look at the difference before you commit it: until then it is
// as trustworthy as this one connection.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
)

// file is what it writes, from the repository's root.
const file = "pkg/bundle/digests.txt"

// patience bounds one look-up.
const patience = time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "digests:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	fixed, err := fixed()
	if err != nil {
		return err
	}
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := rewrite(string(old), fixed, func(f bundle.Fixed) (digest.Digest, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return lookUp(ctx, f)
	})
	// What was found is worth keeping, whatever was not.
	if text != "" && text != string(old) {
		err = errors.Join(err, os.WriteFile(file, []byte(text), 0o644))
	}
	return err
}

// fixed is all whose version a release fixes: what goes into bundles, and addons' images.
func fixed() ([]bundle.Fixed, error) {
	out := bundle.FixedByRelease()
	addons, err := addon.BuiltIn()
	if err != nil {
		return nil, err
	}
	for _, n := range addons.Names() {
		for _, ref := range addons[n].Images() {
			out = append(out, bundle.Fixed{Name: ref})
		}
	}
	return out, nil
}

// lookUp asks upstream.
func lookUp(ctx context.Context, f bundle.Fixed) (digest.Digest, error) {
	if f.Sums != "" {
		return bundle.PublishedSum(ctx, http.DefaultClient, f)
	}
	ref, err := name.ParseReference(f.Name)
	if err != nil {
		return "", err
	}
	// The whole manifest, whose digest is then computed here.
	got, err := remote.Get(ref, remote.WithContext(ctx))
	if err != nil {
		return "", err
	}
	return digest.Digest(got.Digest.String()), nil
}

// rewrite is the file with what is missing filled in. An error tells of what could not be
// looked up, and of what upstream says otherwise, which is left as it was.
func rewrite(old string, fixed []bundle.Fixed, lookUp func(bundle.Fixed) (digest.Digest, error)) (string, error) {
	known, err := bundle.ParseDigests(old)
	if err != nil {
		return "", err
	}
	var errs []error
	now := map[string]string{}
	for _, f := range fixed {
		now[f.Name] = "-"
		if d := known[f.Name]; d != "" {
			now[f.Name] = d.Encoded()
		}
		got, err := lookUp(f)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", f.Name, err))
		case known[f.Name] == "":
			now[f.Name] = got.Encoded()
		case known[f.Name] != got:
			errs = append(errs, fmt.Errorf("%s: it should be %s, and upstream says %s: find out why before you change that line", f.Name, known[f.Name], got))
		}
	}
	var lines []string
	for _, line := range strings.Split(strings.TrimRight(old, "\n"), "\n") {
		_, named, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if strings.HasPrefix(line, "#") || !ok {
			lines = append(lines, line)
			continue
		}
		if sum, ok := now[named]; ok {
			lines = append(lines, sum+"  "+named)
			delete(now, named)
		}
	}
	var more []string
	for n, sum := range now {
		more = append(more, sum+"  "+n)
	}
	slices.SortFunc(more, func(a, b string) int { return strings.Compare(a[strings.Index(a, " "):], b[strings.Index(b, " "):]) })
	return strings.Join(append(lines, more...), "\n") + "\n", errors.Join(errs...)
}

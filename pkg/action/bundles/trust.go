package bundles

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// maxKey bounds a key's file, in bytes.
const maxKey = 64 << 10

// Trust says which bundle it has to be; the zero value takes any.
type Trust struct {
	// Digest is the bundle's, sha256:HEX.
	Digest string
	// KeyFile is the file of the public key by whose owner it was signed.
	KeyFile string
}

// Requires refuses to be asked about a bundle that nobody named; how says how that is
// done.
func (t Trust) Requires(named bool, how string) error {
	if !named && t != (Trust{}) {
		return action.Invalidf("--bundle-digest and --bundle-key require a bundle: specify it with %s", how)
	}
	return nil
}

// Read reads the digest and the key.
func (t Trust) Read() (out bundle.Trust, err error) {
	if t.Digest != "" {
		if out.Digest, err = bundle.ParseDigest(t.Digest); err != nil {
			return out, action.Invalidf("the bundle's digest: %w", err)
		}
	}
	if t.KeyFile == "" {
		return out, nil
	}
	data, err := ReadKey(t.KeyFile, nil)
	if err == nil {
		out.Key, err = bundle.VerifyingKey(data)
	}
	if err != nil {
		return out, action.Invalidf("the key %s: %w", t.KeyFile, err)
	}
	return out, nil
}

// Open opens a bundle, a difference together with its bases, if it is the one that it
// has to be.
func (t Trust) Open(path string, bases ...string) (*bundle.Bundle, error) {
	trust, err := t.Read()
	if err != nil {
		return nil, err
	}
	b, err := Open(path, bases...)
	if err != nil {
		return nil, err
	}
	if err := trust.Check(b); err != nil {
		return nil, action.As(action.Invalid, errors.Join(err, b.Close()))
	}
	return b, nil
}

// Open opens a bundle, a difference together with its bases.
func Open(path string, bases ...string) (*bundle.Bundle, error) {
	b, err := bundle.OpenWithBases(path, bases...)
	return b, action.As(action.Invalid, err)
}

// ReadKey reads a key's file; "-" is standard input, where there is one.
func ReadKey(path string, stdin io.Reader) ([]byte, error) {
	if path == "-" && stdin != nil {
		return limitedKey(stdin)
	}
	f, err := os.Open(ExpandHome(path))
	if err != nil {
		return nil, err
	}
	data, err := limitedKey(f)
	return data, errors.Join(err, f.Close())
}

func limitedKey(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxKey+1))
	if err == nil && len(data) > maxKey {
		err = fmt.Errorf("it is larger than %d bytes, which is too large for a key", maxKey)
	}
	return data, err
}

// ExpandHome replaces a leading ~/ by the caller's home.
func ExpandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		// Left as it is, opening it says what is missing.
		return path
	}
	return filepath.Join(home, rest)
}

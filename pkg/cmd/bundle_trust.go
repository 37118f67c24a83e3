package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// maxKey bounds a key's file, in bytes.
const maxKey = 64 << 10

// bundleTrust are the flags that say which bundle it has to be.
type bundleTrust struct{ digest, key string }

// addFlags adds them, with "bundle-" before their names where the bundle is a flag
// itself.
func (t *bundleTrust) addFlags(f *pflag.FlagSet, prefix string) {
	f.StringVar(&t.digest, prefix+"digest", "", "use the bundle only if this is its `digest`, as `bundle create` and `bundle inspect` tell it")
	f.StringVar(&t.key, prefix+"key", "", "use the bundle only if it was signed by the owner of this public key (`file`)")
}

// requires refuses to be asked about a bundle that nobody named; how says how that is
// done.
func (t bundleTrust) requires(named bool, how string) error {
	if !named && t != (bundleTrust{}) {
		return usageErrorf("--bundle-digest and --bundle-key are about a bundle that you have: name it with %s", how)
	}
	return nil
}

// read reads the digest and the key.
func (t bundleTrust) read() (out bundle.Trust, err error) {
	if t.digest != "" {
		if out.Digest, err = bundle.ParseDigest(t.digest); err != nil {
			return out, usageErrorf("the bundle's digest: %w", err)
		}
	}
	if t.key == "" {
		return out, nil
	}
	data, err := readKey(t.key, nil)
	if err == nil {
		out.Key, err = bundle.VerifyingKey(data)
	}
	if err != nil {
		return out, usageErrorf("the key %s: %w", t.key, err)
	}
	return out, nil
}

// open opens a bundle, a difference together with its bases, if it is the one that it
// has to be.
func (t bundleTrust) open(path string, bases ...string) (*bundle.Bundle, error) {
	trust, err := t.read()
	if err != nil {
		return nil, err
	}
	b, err := openBundle(path, bases...)
	if err != nil {
		return nil, err
	}
	if err := trust.Check(b); err != nil {
		return nil, withCode(ExitUsage, errors.Join(err, b.Close()))
	}
	return b, nil
}

// readKey reads a key's file; "-" is standard input, where there is one.
func readKey(path string, stdin io.Reader) ([]byte, error) {
	if path == "-" && stdin != nil {
		return limitedKey(stdin)
	}
	f, err := os.Open(expandHome(path))
	if err != nil {
		return nil, err
	}
	data, err := limitedKey(f)
	return data, errors.Join(err, f.Close())
}

func limitedKey(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxKey+1))
	if err == nil && len(data) > maxKey {
		err = fmt.Errorf("it has more than %d bytes, and is no key", maxKey)
	}
	return data, err
}

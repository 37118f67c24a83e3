package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	"filippo.io/age"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
)

// sealBuffer is between the encryption and the store, in bytes.
const sealBuffer = 1 << 20

// Recipients reads recipients of age's (age1…); each alone can read what is encrypted to all.
func Recipients(texts []string) ([]age.Recipient, error) {
	if len(texts) == 0 {
		return nil, errors.New("there is no recipient: a backup holds every Secret of the cluster, and is sent encrypted only")
	}
	out, err := age.ParseRecipients(strings.NewReader(strings.Join(texts, "\n")))
	if err != nil {
		return nil, fmt.Errorf("the recipients: %w", err)
	}
	return out, nil
}

// Send encrypts what r reads, and writes it as an object; the part says what it has become. An
// error leaves no object.
func Send(ctx context.Context, s store.Store, folder string, p Part, to []age.Recipient, r io.Reader) (Part, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	plain, sealed := &counted{hash: sha256.New()}, &counted{hash: sha256.New()}
	reader, writer := io.Pipe()
	go func() {
		buffered := bufio.NewWriterSize(io.MultiWriter(writer, sealed), sealBuffer)
		w, err := age.Encrypt(buffered, to...)
		if err == nil {
			_, err = io.CopyBuffer(io.MultiWriter(w, plain), struct{ io.Reader }{r}, make([]byte, sealBuffer))
		}
		if err == nil {
			err = errors.Join(w.Close(), buffered.Flush())
		}
		writer.CloseWithError(err)
	}()
	err := s.Put(ctx, path.Join(folder, p.Object), reader)
	// Whatever is still being written has nobody who reads it.
	_ = reader.CloseWithError(errors.New("the upload has ended"))
	if err != nil {
		return p, err
	}
	p.Bytes, p.SHA256, p.SealedBytes, p.SealedSHA256 = plain.n, plain.sum(), sealed.n, sealed.sum()
	return p, nil
}

type counted struct {
	hash hash.Hash
	n    int64
}

func (c *counted) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.hash.Write(b)
}

func (c *counted) sum() string { return hex.EncodeToString(c.hash.Sum(nil)) }

// FileKey is the key of one object: who has it can read this object and no other. It is a secret.
type FileKey []byte

// Head reads the head of an object, which has its key, wrapped for each recipient. It is no secret.
func Head(ctx context.Context, s store.Store, folder string, p Part) ([]byte, error) {
	in, err := s.Get(ctx, path.Join(folder, p.Object))
	if err != nil {
		return nil, err
	}
	head, err := age.ExtractHeader(in)
	_ = in.Close() // only its beginning was of interest
	if err != nil {
		return nil, fmt.Errorf("%s is not encrypted as expected: %w", p.Object, err)
	}
	return head, nil
}

// Unlock unwraps the key in an object's head with an identity: whoever reads the object then needs
// no identity.
func Unlock(head []byte, identities ...age.Identity) (FileKey, error) {
	key, err := age.DecryptHeader(head, identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, errors.New("the backup is encrypted to other recipients: none of the identities fits")
	}
	if err != nil {
		return nil, fmt.Errorf("the backup can't be unlocked: %w", err)
	}
	return key, nil
}

// Fetch reads an object, decrypts it by its key, and writes what was encrypted. Only without an
// error is what was written what the manifest says.
func Fetch(ctx context.Context, s store.Store, folder string, p Part, key FileKey, to io.Writer) (err error) {
	in, err := s.Get(ctx, path.Join(folder, p.Object))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	sealed, plain := &counted{hash: sha256.New()}, &counted{hash: sha256.New()}
	source := io.TeeReader(bufio.NewReaderSize(in, sealBuffer), sealed)
	r, err := age.Decrypt(source, age.NewInjectedFileKeyIdentity(bytes.Clone(key)))
	if err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(to, plain)}, r, make([]byte, sealBuffer))
	}
	if err != nil {
		return fmt.Errorf("read %s: what the target returned is not what was sent, or it ended too early: %w", p.Object, err)
	}
	if _, err := io.Copy(io.Discard, source); err != nil {
		return err
	}
	if sealed.sum() != p.SealedSHA256 || plain.sum() != p.SHA256 {
		return fmt.Errorf("read %s: the target returned something else than was sent: SHA-256 %s instead of %s", p.Object, sealed.sum(), p.SealedSHA256)
	}
	return nil
}

// Compare reads an object, and compares its digest. It needs no key, and tells nothing of whether
// a cluster can be made of it.
func Compare(ctx context.Context, s store.Store, folder string, p Part) (err error) {
	in, err := s.Get(ctx, path.Join(folder, p.Object))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	sealed := &counted{hash: sha256.New()}
	if _, err := io.CopyBuffer(struct{ io.Writer }{sealed}, in, make([]byte, sealBuffer)); err != nil {
		return fmt.Errorf("read %s: %w", p.Object, err)
	}
	if sealed.n != p.SealedBytes || sealed.sum() != p.SealedSHA256 {
		return fmt.Errorf("%s is damaged: %d bytes with the SHA-256 %s instead of %d with %s", p.Object, sealed.n, sealed.sum(), p.SealedBytes, p.SealedSHA256)
	}
	return nil
}

// Package store keeps the objects of backups: in a folder of the machine it runs on, in S3, or on
// a server that speaks SFTP. An object is there whole or not at all. All of them stream: no more
// than a few parts of an object are in memory.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Object is one that is there.
type Object struct {
	// Name is relative to the target, with slashes.
	Name string `json:"name"`
	// Bytes is its size.
	Bytes int64 `json:"bytes"`
	// Modified is when it was written, as the target's clock has it.
	Modified time.Time `json:"modified"`
}

// Store is a target of backups. An object that is not there is an error that wraps
// fs.ErrNotExist.
type Store interface {
	// Put writes an object, in place of one of this name. Until it returns without an error
	// there is no object, or the former one.
	Put(ctx context.Context, name string, r io.Reader) error
	// Get reads an object. Close it.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// Stat tells of one object.
	Stat(ctx context.Context, name string) (Object, error)
	// List lists the objects whose names begin with the prefix, sorted by name.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Delete removes an object. One that is not there is no error.
	Delete(ctx context.Context, name string) error
	// Tidy removes what interrupted uploads below the prefix have left and nobody has written to
	// since then.
	Tidy(ctx context.Context, prefix string, since time.Time) error
	// Close ends the connection.
	Close() error
}

// Config says where a store is and how to log in.
type Config struct {
	// URL is file:///FOLDER, s3://BUCKET/PREFIX or sftp://USER@HOST:PORT/FOLDER.
	URL string `json:"url"`
	// Endpoint is S3's, such as https://s3.example.com. Default https://s3.amazonaws.com.
	Endpoint string `json:"endpoint,omitempty"`
	// Region is S3's. Default: asked of the server.
	Region string `json:"region,omitempty"`
	// Credentials is what a Secret holds, by the Key… constants. It is a secret.
	Credentials map[string]string `json:"credentials,omitempty"`
	// BytesPerSecond bounds what is sent and received. Zero: as fast as it goes.
	BytesPerSecond int64 `json:"bytesPerSecond,omitempty"`
	// Stall is for how long a connection may move nothing. Zero: DefaultStall.
	Stall time.Duration `json:"stall,omitempty"`
}

// Keys of credentials, as they stand in a Secret.
const (
	// KeyAccess, KeySecret and KeySession (optional) are S3's.
	KeyAccess, KeySecret, KeySession = "accessKeyID", "secretAccessKey", "sessionToken"
	// KeyCA are PEM certificates of the CAs that S3's endpoint is verified with. Default: the system's.
	KeyCA = "caBundle"
	// KeyPrivate is SFTP's private key, as ssh-keygen writes it without a passphrase; KeyPassword
	// is instead of it.
	KeyPrivate, KeyPassword = "privateKey", "password"
	// KeyKnownHosts are the SFTP server's host keys, lines of a known_hosts file.
	KeyKnownHosts = "knownHosts"
)

// DefaultStall is for how long a connection may move nothing: longer than a slow line (100 kbit/s)
// takes for what the kernel has taken of it already.
const DefaultStall = 4 * time.Minute

// Check finds what is wrong with a URL without connecting.
func Check(target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return errors.New("it is no URL") // The error would quote it, with a password maybe.
	}
	if _, has := u.User.Password(); has {
		return errors.New("it has a password; credentials belong into a Secret")
	}
	switch {
	case u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%q: leave out what follows the path", target)
	case u.Scheme == "file" && (u.Host != "" || u.Path != path.Clean(u.Path) || u.Path == "/"):
		return fmt.Errorf("%q: a folder on the hosts is written file:///ABSOLUTE/PATH", target)
	case u.Scheme == "s3" && u.Host == "":
		return fmt.Errorf("%q: S3 is written s3://BUCKET/PREFIX", target)
	case u.Scheme == "sftp" && (u.Host == "" || u.User.Username() == "" || strings.Trim(u.Path, "/") == ""):
		return fmt.Errorf("%q: SFTP is written sftp://USER@HOST:PORT/FOLDER", target)
	case u.Scheme != "file" && u.Scheme != "s3" && u.Scheme != "sftp":
		return fmt.Errorf("%q begins with none of file://, s3:// and sftp://", target)
	}
	return nil
}

// Open makes the store. S3 connects when it is first used.
func Open(ctx context.Context, c Config) (Store, error) {
	if err := Check(c.URL); err != nil {
		return nil, fmt.Errorf("the backup target: %w", err)
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	if c.Stall == 0 {
		c.Stall = DefaultStall
	}
	w := &wire{stall: c.Stall}
	if c.BytesPerSecond > 0 {
		w.limit = rate.NewLimiter(rate.Limit(c.BytesPerSecond), int(max(c.BytesPerSecond, wireChunk)))
	}
	switch u.Scheme {
	case "s3":
		return openS3(u, c, w)
	case "sftp":
		return openSFTP(ctx, u, c, w)
	}
	return &folder{root: u.Path, limit: w.limit}, nil
}

// name is an object's name that leads nowhere else.
func checkName(name string) error {
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("%q can't be the name of an object", name)
	}
	return nil
}

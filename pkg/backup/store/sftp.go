package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pkg/sftp"

	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

// sftpServer is a folder on a server that speaks SFTP. What is not yet whole has another name.
type sftpServer struct {
	client *sftp.Client
	login  *ssh.Subsystem
	root   string
}

func openSFTP(ctx context.Context, u *url.URL, c Config, w *wire) (Store, error) {
	port := u.Port()
	if port == "" {
		port = "22"
	}
	conn, err := w.dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("the backup target %s: %w", c.URL, err)
	}
	login, err := ssh.OpenSubsystem(ctx, conn, ssh.PlainLogin{
		User: u.User.Username(), PrivateKey: []byte(c.Credentials[KeyPrivate]), Password: c.Credentials[KeyPassword], HostKeys: []byte(c.Credentials[KeyKnownHosts]),
	}, "sftp")
	if err != nil {
		return nil, fmt.Errorf("the backup target %s: %w", c.URL, err)
	}
	client, err := sftp.NewClientPipe(login.Stdout, login.Stdin)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the backup target %s: %w", c.URL, err), login.Close())
	}
	// A path that begins with /./ or /~/ is as from the login's home; else it is absolute.
	root := u.Path
	for _, home := range []string{"/./", "/~/"} {
		root = strings.TrimPrefix(root, home)
	}
	return &sftpServer{client: client, login: login, root: root}, nil
}

func (s *sftpServer) at(name string) string { return path.Join(s.root, name) }

// during ends the connection with the context: the library's calls take none.
func (s *sftpServer) during(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = s.login.Close() }) // what runs on it says so
}

func (s *sftpServer) Put(ctx context.Context, name string, r io.Reader) error {
	if err := checkName(name); err != nil {
		return err
	}
	defer s.during(ctx)()
	to := s.at(name)
	if err := s.client.MkdirAll(path.Dir(to)); err != nil {
		return fmt.Errorf("make %s: %w", path.Dir(to), err)
	}
	half := partialOf(to)
	out, err := s.client.OpenFile(half, os.O_CREATE|os.O_EXCL|os.O_WRONLY)
	if err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	_, err = out.ReadFromWithConcurrency(&paced{ctx: ctx, r: r}, 0)
	if err == nil {
		if _, can := s.client.HasExtension("fsync@openssh.com"); can {
			err = out.Sync()
		}
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = s.client.PosixRename(half, to)
	}
	if err != nil {
		if ctx.Err() == nil {
			_ = s.client.Remove(half) // what stays is removed by Tidy
		}
		return fmt.Errorf("write %s: %w", to, err)
	}
	return nil
}

func (s *sftpServer) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	in, err := s.client.Open(s.at(name))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.at(name), err)
	}
	pipe, out := io.Pipe()
	stop := s.during(ctx)
	go func() {
		// The library reads ahead only so.
		_, err := in.WriteTo(out)
		out.CloseWithError(errors.Join(err, in.Close()))
		stop()
	}()
	return pipe, nil
}

func (s *sftpServer) Stat(ctx context.Context, name string) (Object, error) {
	defer s.during(ctx)()
	info, err := s.client.Stat(s.at(name))
	if err != nil {
		return Object{}, fmt.Errorf("look at %s: %w", s.at(name), err)
	}
	return Object{Name: name, Bytes: info.Size(), Modified: info.ModTime()}, nil
}

func (s *sftpServer) List(ctx context.Context, prefix string) ([]Object, error) {
	return s.walk(ctx, prefix, func(name string) bool { return !strings.HasSuffix(name, partial) })
}

func (s *sftpServer) walk(ctx context.Context, prefix string, want func(name string) bool) ([]Object, error) {
	defer s.during(ctx)()
	var out []Object
	for w := s.client.Walk(s.root); w.Step(); {
		if err := w.Err(); err != nil {
			if errors.Is(err, fs.ErrNotExist) && w.Path() == s.root {
				return nil, nil // Nothing was ever written.
			}
			return nil, fmt.Errorf("list %s: %w", w.Path(), err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(w.Path(), s.root), "/")
		if w.Stat().IsDir() || !strings.HasPrefix(name, prefix) || !want(name) {
			continue
		}
		out = append(out, Object{Name: name, Bytes: w.Stat().Size(), Modified: w.Stat().ModTime()})
	}
	slices.SortFunc(out, func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (s *sftpServer) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	defer s.during(ctx)()
	if err := s.client.Remove(s.at(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", s.at(name), err)
	}
	_ = s.client.RemoveDirectory(path.Dir(s.at(name))) // one that is not empty stays
	return nil
}

func (s *sftpServer) Tidy(ctx context.Context, prefix string, since time.Time) error {
	left, err := s.walk(ctx, prefix, func(name string) bool { return strings.HasSuffix(name, partial) })
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range left {
		if o.Modified.Before(since) {
			errs = append(errs, s.Delete(ctx, o.Name))
		}
	}
	return errors.Join(errs...)
}

func (s *sftpServer) Close() error { return errors.Join(s.client.Close(), s.login.Close()) }

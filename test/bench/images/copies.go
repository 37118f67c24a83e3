package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// copies does what the predecessor does: one archive for each node, one after
// the other over SSH, then an import on each.
func (b *bench) copies(ctx context.Context, p pushed) error {
	archive := filepath.Join(b.dir, "images.tar")
	if err := archiveOf(filepath.Join(b.dir, fmt.Sprintf("layout-%d", p.nodes)), archive); err != nil {
		return err
	}
	dev, err := b.uplinkDevice()
	if err != nil {
		return err
	}
	before, err := sentBytes(dev)
	if err != nil {
		return err
	}
	start := time.Now()
	for _, h := range b.hosts(p.nodes) {
		options := []string{"-q", "-i", b.st.SSHKey, "-o", "UserKnownHostsFile=" + b.st.KnownHosts}
		if err := run(ctx, "scp", append(options, archive, "root@"+h+":/var/tmp/images.tar")...); err != nil {
			return err
		}
	}
	spread := time.Since(start)
	for _, h := range b.hosts(p.nodes) {
		options := []string{"-q", "-i", b.st.SSHKey, "-o", "UserKnownHostsFile=" + b.st.KnownHosts, "root@" + h}
		// Under another name: what is there already would not be imported.
		if err := run(ctx, "ssh", append(options, "ctr", "--namespace", "predecessor", "images", "import", "/var/tmp/images.tar")...); err != nil {
			return err
		}
	}
	after, err := sentBytes(dev)
	if err != nil {
		return err
	}
	fmt.Printf("the predecessor's way, %d nodes: %.1f MB left the workstation, every node held the archive after %.1f s, %.1f x the product's time; imported after %.1f s\n",
		p.nodes, float64(after-before)/1e6, spread.Seconds(), spread.Seconds()/p.spread.Seconds(), time.Since(start).Seconds())
	return nil
}

// hosts are the addresses of the first n nodes.
func (b *bench) hosts(n int) []string {
	var out []string
	for _, h := range b.st.Hosts {
		if h.Role != "mirror" && len(out) < n {
			out = append(out, h.Address)
		}
	}
	return out
}

func run(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}

// archiveOf packs a layout into one tar.
func archiveOf(dir, out string) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	t := tar.NewWriter(f)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: info.Size()}); err != nil {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(t, in)
		return errors.Join(err, in.Close())
	})
	return errors.Join(err, t.Close())
}

package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// member is a file in an archive.
type member struct {
	name, source string
	mode         int64
}

// epoch is every file's time: the archives depend on nothing but contents.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// writeArchive writes a tar.gz, files in the order of their names, and returns
// its SHA-256 in hex.
func writeArchive(path string, files []member) (sum string, err error) {
	out, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	h := sha256.New()
	zip, err := gzip.NewWriterLevel(io.MultiWriter(out, h), gzip.BestCompression)
	if err != nil {
		return "", err
	}
	archive := tar.NewWriter(zip)
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b member) int { return strings.Compare(a.name, b.name) })
	for _, f := range files {
		if err := addFile(archive, f); err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func addFile(archive *tar.Writer, f member) error {
	in, err := os.Open(f.source)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	info, err := in.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: info.Size(), Mode: f.mode, ModTime: epoch, Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, in)
	return err
}

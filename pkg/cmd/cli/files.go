package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// DefaultClusterFile is read when -f is not given.
const DefaultClusterFile = "cluster.yaml"

// maxClusterFile is more than any sane Cluster file has.
const maxClusterFile = 4 << 20

// AddFileFlag adds -f.
func AddFileFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "filename", "f", "",
		"the Cluster `file`; - is standard input (default "+DefaultClusterFile+" when there is one)")
	// MarkFlagFilename fails only for a flag that is not there.
	_ = c.MarkFlagFilename("filename", "yaml", "yml")
}

// findClusterFile returns the file to read: the one given, else cluster.yaml in
// the working directory.
func findClusterFile(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	switch _, err := os.Stat(DefaultClusterFile); {
	case err == nil:
		return DefaultClusterFile, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", action.Invalidf("no Cluster file: name it with -f, or write one with `%s init`", program.Name)
	default:
		return "", action.Invalidf("look for %s: %w", DefaultClusterFile, err)
	}
}

// FindCluster is loadCluster of the file that findClusterFile finds, whose path file gets.
func FindCluster(file *string, in io.Reader) (*v1alpha1.Cluster, []v1alpha1.FieldWarning, error) {
	path, err := findClusterFile(*file)
	if err != nil {
		return nil, nil, err
	}
	*file = path
	return LoadCluster(path, in)
}

// LoadCluster reads, defaults and validates a Cluster file, with everything
// that is wrong in one error, and the content of the manifest it names in it.
func LoadCluster(path string, in io.Reader) (*v1alpha1.Cluster, []v1alpha1.FieldWarning, error) {
	data, err := ReadFile(path, in)
	if err != nil {
		return nil, nil, err
	}
	name, dir := path, filepath.Dir(path)
	if path == "-" {
		name, dir = "standard input", "."
	}
	c, warnings, err := v1alpha1.Load(data, name)
	if err != nil {
		return nil, warnings, action.As(action.Invalid, err)
	}
	return c, warnings, loadManifest(c, dir)
}

// loadManifest reads the network plugin's manifest, relative to the Cluster file.
func loadManifest(c *v1alpha1.Cluster, dir string) error {
	n := &c.Spec.Network
	if n.Manifest == "" || n.ManifestContent != "" {
		return nil
	}
	path := n.Manifest
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	data, err := ReadFile(path, nil)
	if err != nil {
		return action.Invalidf("spec.network.manifest: %w\nnext: put the file there; a cluster that was made with it keeps a copy: kubectl get secret --namespace %s %s -o jsonpath='{.data.network-manifest}' | base64 -d",
			err, v1alpha1.SystemNamespace, v1alpha1.ClusterConfigMap)
	}
	n.ManifestContent = string(data)
	return nil
}

// ReadFile reads a file of the user's, or standard input for "-".
func ReadFile(path string, in io.Reader) ([]byte, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, action.As(action.Invalid, err)
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxClusterFile+1))
	if err != nil {
		return nil, action.Invalidf("read %s: %w", path, err)
	}
	if len(data) > maxClusterFile {
		return nil, action.Invalidf("%s has more than %d MiB; that is no such file", path, maxClusterFile>>20)
	}
	return data, nil
}

// WriteNew writes a file that must not be there yet, unless force is set, and
// never leaves a half-written one.
func WriteNew(path string, data []byte, mode fs.FileMode, force bool) (err error) {
	if _, statErr := os.Lstat(path); statErr == nil && !force {
		return action.Invalidf("%s is there already; choose another with --out, or replace it with --force", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".kubectl-ha-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
		}
	}()
	_, writeErr := f.Write(data)
	if err := errors.Join(writeErr, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

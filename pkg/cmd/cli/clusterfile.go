package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// DefaultClusterFile is read when -f is not given.
const DefaultClusterFile = "cluster.yaml"

// AddFileFlag adds -f.
func AddFileFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "filename", "f", "",
		"Cluster `file`; - is standard input (default "+DefaultClusterFile+" if it exists)")
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
		return "", action.Invalidf("no Cluster file found: specify it with -f, or write one with `%s init`", program.Name)
	default:
		return "", action.Invalidf("look for %s: %w", DefaultClusterFile, err)
	}
}

// FindCluster is LoadCluster of the file that was given, else of cluster.yaml in the working
// directory. Its path is in file then.
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
		return action.Invalidf("spec.network.manifest: %w\nnext: restore the file; a cluster created with it keeps a copy: kubectl get secret --namespace %s %s -o jsonpath='{.data.network-manifest}' | base64 -d",
			err, v1alpha1.SystemNamespace, v1alpha1.ClusterConfigMap)
	}
	n.ManifestContent = string(data)
	return nil
}

// ReadOwnCAs reads the CAs that a Cluster file names in spec.pki, relative to the file.
func ReadOwnCAs(c *v1alpha1.Cluster, file string) (bootstrap.OwnCAs, error) {
	dir := filepath.Dir(file) // Of "-", standard input, it is the working directory.
	own, err := bootstrap.ReadOwnCAs(c, func(path string) string {
		if path = bundles.ExpandHome(path); filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	})
	return own, action.As(action.Invalid, err)
}

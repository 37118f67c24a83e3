package cli

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/test/lab/fsdiff"
	"github.com/kubectl-ha/kubectl-ha/test/lab/mirror"
)

// newMirror is what runs in the mirror's container.
func newMirror(e *env) *cobra.Command {
	o := mirror.Options{Registry: mirror.RegistryOptions{ReadOnly: true}}
	cmd := &cobra.Command{
		Use: "mirror", Short: "Serve files and images (runs in the mirror's container)", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Log = e.Out
			return mirror.Serve(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Listen, "listen", ":80", "address to serve at")
	cmd.Flags().StringVar(&o.Files, "files", "", "folder with the files")
	cmd.Flags().StringVar(&o.Registry.Storage, "registry-storage", "", "the registry's folder")
	cmd.Flags().StringVar(&o.Registry.Program, "registry-program", "", "the registry's program")
	return cmd
}

// newManifest is what lab diff runs on a host.
func newManifest(e *env) *cobra.Command {
	var compare bool
	cmd := &cobra.Command{
		Use: "manifest", Short: "List this file system (runs on a host)", Hidden: true, Args: cobra.NoArgs,
		// It runs where there is no home and no cache.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(*cobra.Command, []string) error {
			if os.Getenv("container") != "docker" {
				return fmt.Errorf("this is run by lab diff, on a host")
			}
			mounts := []string{"/var"}
			if !compare {
				m, err := fsdiff.Take("/", mounts, func(string, int64) bool { return true })
				if err != nil {
					return err
				}
				return json.NewEncoder(e.Out).Encode(m)
			}
			var before fsdiff.Manifest
			if err := json.NewDecoder(e.In).Decode(&before); err != nil {
				return fmt.Errorf("the bare host's manifest: %w", err)
			}
			// What is new or of another size has changed, whatever is in it.
			after, err := fsdiff.Take("/", mounts, func(path string, size int64) bool {
				b, ok := before[path]
				return ok && b.Size == size
			})
			if err != nil {
				return err
			}
			return json.NewEncoder(e.Out).Encode(fsdiff.Compare(before, after))
		},
	}
	cmd.Flags().BoolVar(&compare, "compare", false, "compare with the manifest on standard input")
	return cmd
}

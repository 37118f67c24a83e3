package cli

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/test/lab/fsdiff"
	"github.com/kubectl-ha/kubectl-ha/test/lab/host"
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
	cmd.Flags().StringVar(&o.Names, "names", "", "address at which to tell that a name is none; empty for nowhere")
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

// newCopyVolumes is what lab save and lab up --from run as root.
func newCopyVolumes(e *env) *cobra.Command {
	var volumes string
	cmd := &cobra.Command{
		Use: "copy-volumes", Short: "Copy volumes of Docker's (runs as root)", Hidden: true, Args: cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(*cobra.Command, []string) error {
			var jobs []host.CopyJob
			if err := json.NewDecoder(e.In).Decode(&jobs); err != nil {
				return fmt.Errorf("what to copy: %w", err)
			}
			return host.CopyVolumes(volumes, jobs)
		},
	}
	cmd.Flags().StringVar(&volumes, "volumes", "", "Docker's folder of volumes")
	return cmd
}

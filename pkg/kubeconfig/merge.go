package kubeconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Merged says what Merge did.
type Merged struct {
	// File is where the entries went.
	File string
	// Backups are copies of the files as they were before; none when there was no file.
	Backups []string
}

// ErrTaken: the user's kubeconfig has something of another cluster under the same name.
var ErrTaken = errors.New("the name is taken")

const (
	// lockTimeout bounds the wait for another program that changes the kubeconfig.
	lockTimeout  = 10 * time.Second
	lockInterval = 50 * time.Millisecond
)

// Merge puts a kubeconfig's entries into the user's own one and makes its
// context the current one, by kubectl's rules: several files, and their locks.
// What is changed is copied before, to FILE.bak-TIME. An entry of the same name
// for another cluster (neither address nor CA alike) is not replaced: ErrTaken.
func Merge(paths *clientcmd.PathOptions, c *clientcmdapi.Config, now time.Time) (Merged, error) {
	return merge(paths, c, now, lockTimeout)
}

func merge(paths *clientcmd.PathOptions, c *clientcmdapi.Config, now time.Time, wait time.Duration) (Merged, error) {
	want, err := paths.GetStartingConfig()
	if err != nil {
		return Merged{}, fmt.Errorf("read the kubeconfig that is there: %w", err)
	}
	want.CurrentContext = c.CurrentContext
	var before backups
	files := &lockedFiles{PathOptions: paths, first: func(mine *clientcmdapi.Config) (err error) {
		if err = refuseTaken(mine, c); err != nil {
			return err
		}
		if before, err = backUp(destinations(paths, mine, c), now); err != nil {
			return err
		}
		put(want, mine, c)
		// A file that is there keeps its mode when it is written: it must be private
		// before a credential is put into it.
		return before.makePrivate()
	}}
	for deadline := time.Now().Add(wait); ; time.Sleep(lockInterval) {
		err = clientcmd.ModifyConfig(files, *want, true)
		if !errors.Is(err, fs.ErrExist) || files.looked || time.Now().After(deadline) {
			break
		}
	}
	var lock *fs.PathError
	switch {
	case errors.Is(err, ErrTaken):
		return Merged{}, err
	case errors.Is(err, fs.ErrExist) && !files.looked && errors.As(err, &lock):
		return Merged{}, fmt.Errorf("change the kubeconfig: another program has it locked for %s, or was killed while it had; when none runs, remove %s", wait, lock.Path)
	case err != nil:
		return Merged{Backups: before.names()}, fmt.Errorf("change the kubeconfig: %w", err)
	}
	kept, err := before.dropUnchanged()
	return Merged{File: paths.GetDefaultFilename(), Backups: kept}, err
}

// lockedFiles are kubectl's own. ModifyConfig removes whatever it finds there and is not
// told of, so what is to be there is made of what it finds at its first look, when it has
// the locks: another program may have added something the moment before.
type lockedFiles struct {
	*clientcmd.PathOptions
	first  func(mine *clientcmdapi.Config) error
	looked bool
}

// GetStartingConfig is what there is.
func (f *lockedFiles) GetStartingConfig() (*clientcmdapi.Config, error) {
	mine, err := f.PathOptions.GetStartingConfig()
	if err != nil || f.looked {
		return mine, err
	}
	f.looked = true
	return mine, f.first(mine)
}

// put makes want's entries those of mine and c.
func put(want, mine, c *clientcmdapi.Config) {
	clear(want.Clusters)
	clear(want.AuthInfos)
	clear(want.Contexts)
	maps.Copy(want.Clusters, mine.Clusters)
	maps.Copy(want.AuthInfos, mine.AuthInfos)
	maps.Copy(want.Contexts, mine.Contexts)
	for name, cluster := range c.Clusters {
		cluster = cluster.DeepCopy()
		if old := mine.Clusters[name]; old != nil {
			cluster.LocationOfOrigin = old.LocationOfOrigin
		}
		want.Clusters[name] = cluster
	}
	for name, login := range c.AuthInfos {
		login = login.DeepCopy()
		if old := mine.AuthInfos[name]; old != nil {
			login.LocationOfOrigin = old.LocationOfOrigin
		}
		want.AuthInfos[name] = login
	}
	for name, context := range c.Contexts {
		context = context.DeepCopy()
		if old := mine.Contexts[name]; old != nil {
			context.LocationOfOrigin, context.Namespace = old.LocationOfOrigin, old.Namespace
		}
		want.Contexts[name] = context
	}
}

// destinations are the files that will be written: those that have the entries, and the
// one for new ones and the current context. Others stay as they are, with their modes.
func destinations(paths *clientcmd.PathOptions, mine, c *clientcmdapi.Config) []string {
	files := []string{paths.GetDefaultFilename()}
	for name := range c.Clusters {
		if old := mine.Clusters[name]; old != nil {
			files = append(files, old.LocationOfOrigin)
		}
	}
	for name := range c.AuthInfos {
		if old := mine.AuthInfos[name]; old != nil {
			files = append(files, old.LocationOfOrigin)
		}
	}
	for name := range c.Contexts {
		if old := mine.Contexts[name]; old != nil {
			files = append(files, old.LocationOfOrigin)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// refuseTaken is an error when an entry would replace one of another cluster.
func refuseTaken(mine, c *clientcmdapi.Config) error {
	for name, cluster := range c.Clusters {
		if old := mine.Clusters[name]; other(old, cluster) {
			return fmt.Errorf("%w: your kubeconfig has another cluster %s at %s; write a file of its own with -o, or remove that entry: kubectl config delete-cluster %s",
				ErrTaken, name, old.Server, name)
		}
	}
	for name, context := range c.Contexts {
		if old := mine.Contexts[name]; old != nil && other(mine.Clusters[old.Cluster], c.Clusters[context.Cluster]) {
			return fmt.Errorf("%w: your kubeconfig has a context %s of another cluster, %s; write a file of its own with -o, or give that one another name: kubectl config rename-context %s NEW",
				ErrTaken, name, old.Cluster, name)
		}
		for used, old := range mine.Contexts {
			if old.AuthInfo == context.AuthInfo && other(mine.Clusters[old.Cluster], c.Clusters[context.Cluster]) {
				return fmt.Errorf("%w: your kubeconfig has a user %s, whom the context %s has for another cluster, %s; write a file of its own with -o",
					ErrTaken, context.AuthInfo, used, old.Cluster)
			}
		}
	}
	return nil
}

// other tells whether two entries are of different clusters; none is not.
func other(a, b *clientcmdapi.Cluster) bool {
	return a != nil && b != nil && a.Server != b.Server && !bytes.Equal(a.CertificateAuthorityData, b.CertificateAuthorityData)
}

// backups maps files to their copies.
type backups []struct {
	file, copy string
	content    []byte
}

// makePrivate gives the files, which were backed up since they are there, mode 0600.
func (b backups) makePrivate() error {
	for _, f := range b {
		if err := os.Chmod(f.file, 0o600); err != nil {
			return fmt.Errorf("make %s readable for its owner only: %w", f.file, err)
		}
	}
	return nil
}

func (b backups) names() []string {
	var out []string
	for _, f := range b {
		out = append(out, f.copy)
	}
	return out
}

// backUp copies the files that exist.
func backUp(files []string, now time.Time) (backups, error) {
	var out backups
	for _, file := range files {
		content, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("copy the kubeconfig before it is changed: %w", err)
		}
		copied := file + ".bak-" + now.Format("20060102T150405")
		if err := WriteFile(copied, content); err != nil {
			return nil, fmt.Errorf("copy the kubeconfig before it is changed: %w", err)
		}
		out = append(out, struct {
			file, copy string
			content    []byte
		}{file, copied, content})
	}
	return out, nil
}

// dropUnchanged removes the copies of files that are as they were.
func (b backups) dropUnchanged() ([]string, error) {
	var kept []string
	var errs []error
	for _, f := range b {
		now, err := os.ReadFile(f.file)
		if err != nil || !bytes.Equal(now, f.content) {
			kept = append(kept, f.copy)
			continue
		}
		errs = append(errs, os.Remove(f.copy))
	}
	return kept, errors.Join(errs...)
}

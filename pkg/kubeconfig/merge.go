package kubeconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// ErrTaken: the user's kubeconfig has another cluster under the same name.
var ErrTaken = errors.New("the name is taken")

// Merge puts a kubeconfig's entries into the user's own one and makes its
// context the current one, by kubectl's rules: several files, and their locks.
// What is changed is copied before, to FILE.bak-TIME. An entry of the same name
// for another cluster (neither address nor CA alike) is not replaced: ErrTaken.
func Merge(paths *clientcmd.PathOptions, c *clientcmdapi.Config, now time.Time) (Merged, error) {
	mine, err := paths.GetStartingConfig()
	if err != nil {
		return Merged{}, fmt.Errorf("read the kubeconfig that is there: %w", err)
	}
	if err := refuseTaken(mine, c); err != nil {
		return Merged{}, err
	}
	for name, cluster := range c.Clusters {
		cluster = cluster.DeepCopy()
		if old := mine.Clusters[name]; old != nil {
			cluster.LocationOfOrigin = old.LocationOfOrigin
		}
		mine.Clusters[name] = cluster
	}
	for name, login := range c.AuthInfos {
		login = login.DeepCopy()
		if old := mine.AuthInfos[name]; old != nil {
			login.LocationOfOrigin = old.LocationOfOrigin
		}
		mine.AuthInfos[name] = login
	}
	for name, context := range c.Contexts {
		context = context.DeepCopy()
		if old := mine.Contexts[name]; old != nil {
			context.LocationOfOrigin, context.Namespace = old.LocationOfOrigin, old.Namespace
		}
		mine.Contexts[name] = context
	}
	mine.CurrentContext = c.CurrentContext
	before, err := backUp(paths.GetLoadingPrecedence(), now)
	if err != nil {
		return Merged{}, err
	}
	// A file that is there keeps its mode when it is written: it must be private
	// before a credential is put into it.
	if err := before.makePrivate(); err != nil {
		return Merged{Backups: before.names()}, err
	}
	if err := clientcmd.ModifyConfig(paths, *mine, true); err != nil {
		return Merged{Backups: before.names()}, fmt.Errorf("change the kubeconfig: %w", err)
	}
	kept, err := before.dropUnchanged()
	return Merged{File: paths.GetDefaultFilename(), Backups: kept}, err
}

func refuseTaken(mine, c *clientcmdapi.Config) error {
	for name, cluster := range c.Clusters {
		old := mine.Clusters[name]
		if old == nil || old.Server == cluster.Server || bytes.Equal(old.CertificateAuthorityData, cluster.CertificateAuthorityData) {
			continue
		}
		return fmt.Errorf("%w: your kubeconfig has another cluster %s at %s; write a file of its own with -o, or remove that entry: kubectl config delete-cluster %s",
			ErrTaken, name, old.Server, name)
	}
	return nil
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

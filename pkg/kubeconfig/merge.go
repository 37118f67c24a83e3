package kubeconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// Merged says what Merge did.
type Merged struct {
	// File is where the entries went.
	File string
	// Backups are copies of the files as they were before; none when there was no file.
	Backups []string
	// Kept are the fields of entries that were there and are not of an identity or an
	// address, such as "proxy-url of the cluster prod": they hold for the new one as well.
	Kept []string
}

// ErrTaken: the user's kubeconfig has something of another cluster under the same name.
var ErrTaken = errors.New("the name is taken")

// Merge puts a kubeconfig's entries into the user's own one and makes its
// context the current one, by kubectl's rules: several files, and their locks.
// An entry that is there gets the new address and identity, and keeps all else: proxies,
// the name that the server's certificate is for, the context's namespace, extensions,
// comments. What is changed is copied before, to FILE.bak-TIME. An entry of the same name
// for another cluster (neither address nor CA alike) is not replaced: ErrTaken.
func Merge(paths *clientcmd.PathOptions, c *clientcmdapi.Config, now time.Time) (Merged, error) {
	return merge(paths, c, now, lockTimeout)
}

func merge(paths *clientcmd.PathOptions, c *clientcmdapi.Config, now time.Time, wait time.Duration) (_ Merged, err error) {
	unlock, err := lockFiles(paths.GetLoadingPrecedence(), wait)
	if err != nil {
		return Merged{}, fmt.Errorf("change the kubeconfig: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	mine, err := paths.GetStartingConfig()
	if err != nil {
		return Merged{}, fmt.Errorf("read the kubeconfig that is there: %w", err)
	}
	if err := refuseTaken(mine, c); err != nil {
		return Merged{}, err
	}
	done := Merged{File: paths.GetDefaultFilename()}
	edits, err := editsFor(mine, c, done.File)
	if err != nil {
		return Merged{}, fmt.Errorf("change the kubeconfig: %w", err)
	}
	for _, e := range edits {
		done.Kept = append(done.Kept, e.kept...)
	}
	slices.Sort(done.Kept)
	for _, e := range edits {
		copied, err := e.store(now)
		if copied != "" {
			done.Backups = append(done.Backups, copied)
		}
		if err != nil {
			return done, fmt.Errorf("change the kubeconfig: %w", err)
		}
	}
	return done, nil
}

// Replace writes a kubeconfig of one cluster to path, where one of that cluster may be
// already, see Load: this one keeps what is not of the identity or the address, as in
// Merge, and the identity before is taken out of it. Content that is of another cluster
// under the same name is replaced as a whole. The content must be what c says.
func Replace(path string, c *clientcmdapi.Config, content []byte) error {
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return WriteFile(path, content)
	}
	if err != nil {
		return fmt.Errorf("read the kubeconfig that is there: %w", err)
	}
	mine, err := clientcmd.Load(old)
	if err != nil {
		return fmt.Errorf("%s, which is no kubeconfig", path)
	}
	if refuseTaken(mine, c) != nil {
		return WriteFile(path, content)
	}
	edits, err := editsFor(clientcmdapi.NewConfig(), c, path)
	if err != nil {
		return fmt.Errorf("change the kubeconfig %s: %w", path, err)
	}
	d := edits[0].document
	for name := range c.Contexts {
		if before := mine.Contexts[name]; before != nil && c.AuthInfos[before.AuthInfo] == nil {
			d.remove(userSection, before.AuthInfo)
		}
	}
	if content, err = d.bytes(); err != nil {
		return fmt.Errorf("change the kubeconfig %s: %w", path, err)
	}
	return WriteFile(path, content)
}

// edit is the change of one file.
type edit struct {
	path     string
	old      []byte
	document *document
	kept     []string
}

// newEdit begins with what the file has, nil for none.
func newEdit(path string, old []byte) (*edit, error) {
	d, err := parseDocument(old)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &edit{path: path, old: old, document: d}, nil
}

func (e *edit) set(s section, name string, fields *yaml.Node) {
	kept := e.document.set(s, name, fields)
	if s.list != contextSection.list && len(kept) > 0 {
		e.kept = append(e.kept, fmt.Sprintf("%s of the %s %s", strings.Join(kept, ", "), s.body, name))
	}
}

// editsFor are the changes by file. Entries go where those of their name are; new ones and
// the current context go to the file that kubectl takes for them. Other files stay as
// they are, with their modes.
func editsFor(mine, c *clientcmdapi.Config, main string) ([]*edit, error) {
	entries, err := entriesOf(c)
	if err != nil {
		return nil, err
	}
	byFile := map[string]*edit{}
	of := func(file string) (*edit, error) {
		if file == "" {
			file = main
		}
		if e := byFile[file]; e != nil {
			return e, nil
		}
		old, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		e, err := newEdit(file, old)
		byFile[file] = e
		return e, err
	}
	for _, s := range []section{clusterSection, contextSection, userSection} {
		for _, name := range slices.Sorted(maps.Keys(entries[s.list])) {
			e, err := of(origin(mine, s, name))
			if err != nil {
				return nil, err
			}
			e.set(s, name, entries[s.list][name])
		}
	}
	if mine.CurrentContext != c.CurrentContext {
		e, err := of("")
		if err != nil {
			return nil, err
		}
		setField(e.document.top, currentField, textNode(c.CurrentContext))
	}
	var out []*edit
	for _, file := range slices.Sorted(maps.Keys(byFile)) {
		out = append(out, byFile[file])
	}
	return out, nil
}

// origin is the file that has an entry; empty when none has.
func origin(c *clientcmdapi.Config, s section, name string) string {
	switch s.list {
	case clusterSection.list:
		if old := c.Clusters[name]; old != nil {
			return old.LocationOfOrigin
		}
	case userSection.list:
		if old := c.AuthInfos[name]; old != nil {
			return old.LocationOfOrigin
		}
	case contextSection.list:
		if old := c.Contexts[name]; old != nil {
			return old.LocationOfOrigin
		}
	}
	return ""
}

// store writes the file when it changes, after a copy of what it was. A credential is
// put into it, so it is private from then on.
func (e *edit) store(now time.Time) (copied string, err error) {
	content, err := e.document.bytes()
	if err != nil || bytes.Equal(content, e.old) {
		return "", err
	}
	if _, err := clientcmd.Load(content); err != nil {
		return "", fmt.Errorf("%s would be no kubeconfig any more: %w", e.path, err)
	}
	if e.old != nil {
		copied = e.path + ".bak-" + now.Format("20060102T150405")
		if err := WriteFile(copied, e.old); err != nil {
			return "", fmt.Errorf("copy it before it is changed: %w", err)
		}
	}
	return copied, WriteFile(e.path, content)
}

// refuseTaken is an error when an entry would replace one of another cluster.
func refuseTaken(mine, c *clientcmdapi.Config) error {
	for name, cluster := range c.Clusters {
		if old := mine.Clusters[name]; other(old, cluster) {
			return fmt.Errorf("%w: your kubeconfig has another cluster %s at %s; write a file of its own with --out, or remove that entry: kubectl config delete-cluster %s",
				ErrTaken, name, old.Server, name)
		}
	}
	for name, context := range c.Contexts {
		if old := mine.Contexts[name]; old != nil && other(mine.Clusters[old.Cluster], c.Clusters[context.Cluster]) {
			return fmt.Errorf("%w: your kubeconfig has a context %s of another cluster, %s; write a file of its own with --out, or give that one another name: kubectl config rename-context %s NEW",
				ErrTaken, name, old.Cluster, name)
		}
		for used, old := range mine.Contexts {
			if old.AuthInfo == context.AuthInfo && other(mine.Clusters[old.Cluster], c.Clusters[context.Cluster]) {
				return fmt.Errorf("%w: your kubeconfig has a user %s, whom the context %s has for another cluster, %s; write a file of its own with --out",
					ErrTaken, context.AuthInfo, used, old.Cluster)
			}
		}
	}
	return nil
}

// other tells whether two entries are of different clusters; none is not, nor is an
// entry without an address.
func other(a, b *clientcmdapi.Cluster) bool {
	return a != nil && b != nil && a.Server != "" && a.Server != b.Server && !sameCA(a.CertificateAuthorityData, b.CertificateAuthorityData)
}

// sameCA tells whether two entries trust the same CA. While a cluster's CA is replaced it has
// two of them, and an entry of before or after has one: one in common is enough.
func sameCA(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	others := pki.Certs(b)
	return slices.ContainsFunc(pki.Certs(a), func(ca []byte) bool {
		return slices.ContainsFunc(others, func(other []byte) bool { return pki.Same(ca, other) })
	})
}

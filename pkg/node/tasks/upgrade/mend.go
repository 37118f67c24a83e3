package upgrade

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// resume makes a part ready to be gone on with: files that were cut off are mended,
// and the mark tells where it goes now. The guard may be gone already when the
// host has booted since, and it may boot again.
func (up upgrader) resume(ctx context.Context, h *host.Host, p part, m mark, k kept, data *Data) (err error) {
	data.Resumed, m.State = true, begun
	if data.Mended, err = k.mend(ctx, h); err != nil {
		return err
	}
	return errors.Join(up.guard(ctx, h), m.write(ctx, h, p))
}

// mend puts back those of the kept files that a kubeadm that was cut off left
// missing or broken. What is whole stays, be it old or new, since it may be in
// use. It returns what it put back.
func (k kept) mend(ctx context.Context, h *host.Host) ([]string, error) {
	broken, err := k.broken(h)
	if err != nil {
		return nil, err
	}
	var mended []string
	for _, file := range broken {
		changed, err := k.putBack(ctx, h, file)
		if err != nil {
			return mended, err
		}
		if changed {
			mended = append(mended, file)
		}
	}
	return mended, nil
}

// broken are those of the kept files that are missing now or broken.
func (k kept) broken(h *host.Host) ([]string, error) {
	var broken []string
	for _, find := range []func(*host.Host) ([]string, error){k.brokenManifests, k.brokenPairs, k.brokenKubeconfigs, k.brokenKubeletFiles} {
		files, err := find(h)
		if err != nil {
			return nil, err
		}
		broken = append(broken, files...)
	}
	return broken, nil
}

// read reads a file; a missing one is empty.
func read(h *host.Host, file string) ([]byte, error) {
	raw, err := h.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

// brokenManifests are those that are missing, which kubeadm moves away before it
// moves the new one there, or of which a part is missing.
func (k kept) brokenManifests(h *host.Host) ([]string, error) {
	var out []string
	for _, c := range append(slices.Clone(components), etcdComponent) {
		file := manifest(c)
		if _, ok := k.Files[file]; !ok {
			continue
		}
		raw, err := read(h, file)
		if err != nil {
			return nil, err
		}
		if _, err := podVersion(raw, c); err != nil {
			out = append(out, file)
		}
	}
	return out, nil
}

// brokenPairs are certificates and keys that don't belong together: kubeadm
// writes one in place after the other.
func (k kept) brokenPairs(h *host.Host) ([]string, error) {
	var out []string
	for _, cert := range k.under(pkiDir) {
		base, ok := strings.CutSuffix(cert, ".crt")
		key := base + ".key"
		_, hasCert := k.Files[cert]
		_, hasKey := k.Files[key]
		if !ok || !hasCert || !hasKey {
			continue
		}
		certPEM, certErr := read(h, cert)
		keyPEM, keyErr := read(h, key)
		if err := errors.Join(certErr, keyErr); err != nil {
			return nil, err
		}
		if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
			out = append(out, key, cert)
		}
	}
	return out, nil
}

// brokenKubeconfigs are those that can't be read, or whose certificate and key
// don't belong together.
func (k kept) brokenKubeconfigs(h *host.Host) ([]string, error) {
	var out []string
	for _, file := range kubeconfigs {
		if _, ok := k.Files[file]; !ok {
			continue
		}
		raw, err := read(h, file)
		if err != nil {
			return nil, err
		}
		if checkKubeconfig(raw) != nil {
			out = append(out, file)
		}
	}
	return out, nil
}

func checkKubeconfig(raw []byte) error {
	c, err := clientcmd.Load(raw)
	if err != nil {
		return err
	}
	current := c.Contexts[c.CurrentContext]
	if current == nil || c.Clusters[current.Cluster] == nil || c.AuthInfos[current.AuthInfo] == nil {
		return errors.New("it has no current context")
	}
	user := c.AuthInfos[current.AuthInfo]
	if len(user.ClientCertificateData) == 0 && len(user.ClientKeyData) == 0 {
		// A kubelet that rotates its certificate has it in a file of its own.
		return nil
	}
	_, err = tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData)
	return err
}

// brokenKubeletFiles are those of the kubelet's files that can't be read. kubeadm
// moves the runtime's socket out of the flags, and then into a file of its own;
// when that never came to be, the flags are broken too.
func (k kept) brokenKubeletFiles(h *host.Host) ([]string, error) {
	var out []string
	for _, file := range []string{kubeletConfig, instanceConfig} {
		raw, err := read(h, file)
		if err != nil {
			return nil, err
		}
		_, was := k.Files[file]
		if (was || raw != nil) && checkKubeletConfig(raw) != nil {
			out = append(out, file)
		}
	}
	flags, err := read(h, kubeletFlags)
	if err != nil {
		return nil, err
	}
	instance, err := h.Exists(instanceConfig)
	if err != nil {
		return nil, err
	}
	noInstance := slices.Contains(k.Absent, instanceConfig) && (!instance || slices.Contains(out, instanceConfig))
	if _, was := k.Files[kubeletFlags]; was && (noInstance || !bytes.HasPrefix(flags, []byte("KUBELET_"))) {
		out = append(out, kubeletFlags)
	}
	return out, nil
}

func checkKubeletConfig(raw []byte) error {
	var c struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal(raw, &c); err != nil {
		return err
	}
	if c.Kind != "KubeletConfiguration" {
		return fmt.Errorf("it is a %q", c.Kind)
	}
	return nil
}

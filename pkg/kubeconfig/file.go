package kubeconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// fileMode: a kubeconfig is a secret.
const fileMode = 0o600

// Encode writes a kubeconfig as YAML. It refuses one without credentials.
func Encode(c *clientcmdapi.Config) ([]byte, error) {
	for name, login := range c.AuthInfos {
		if login.Token == "" && (len(login.ClientCertificateData) == 0 || len(login.ClientKeyData) == 0) {
			return nil, fmt.Errorf("the kubeconfig's user %s has no credentials", name)
		}
	}
	if len(c.AuthInfos) == 0 {
		return nil, errors.New("the kubeconfig has no user")
	}
	return clientcmd.Write(*c)
}

// WriteFile puts the content at path, mode 0600, at once or not at all. What
// was there is replaced; a link stays, and the file that it names is replaced.
func WriteFile(path string, content []byte) (err error) {
	if real, linkErr := filepath.EvalSymlinks(path); linkErr == nil {
		path = real
	}
	if info, statErr := os.Stat(path); statErr == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no plain file; choose another one", path)
	}
	// CreateTemp makes it 0600 from the start.
	f, err := os.CreateTemp(filepath.Dir(path), ".kubeconfig-*")
	if err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write the kubeconfig %s: %w", path, err), os.Remove(f.Name()))
		}
	}()
	_, writeErr := f.Write(content)
	if err := errors.Join(writeErr, f.Chmod(fileMode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

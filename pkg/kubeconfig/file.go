package kubeconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ha/kubectl-ha/pkg/localfile"
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
func WriteFile(path string, content []byte) error {
	if real, linkErr := filepath.EvalSymlinks(path); linkErr == nil {
		path = real
	}
	if info, statErr := os.Stat(path); statErr == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no plain file; choose another one", path)
	}
	if err := localfile.Write(path, content, fileMode); err != nil {
		return fmt.Errorf("the kubeconfig: %w", err)
	}
	return nil
}

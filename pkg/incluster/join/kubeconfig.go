package join

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
)

// server points every cluster of a kubeconfig at a URL. It returns the text as
// it was when all of them do already.
func server(kubeconfig, url string) (string, bool, error) {
	config, err := clientcmd.Load([]byte(kubeconfig))
	if err != nil {
		return "", false, fmt.Errorf("the kubeconfig can't be read: %w", err)
	}
	if len(config.Clusters) == 0 {
		return "", false, fmt.Errorf("the kubeconfig has no cluster")
	}
	changed := false
	for _, c := range config.Clusters {
		if c.Server != url {
			c.Server, changed = url, true
		}
	}
	if !changed {
		return kubeconfig, false, nil
	}
	out, err := clientcmd.Write(*config)
	if err != nil {
		return "", false, fmt.Errorf("write the kubeconfig: %w", err)
	}
	return string(out), true, nil
}

// certificateAuthority is the CA of a kubeconfig's only cluster, PEM.
func certificateAuthority(kubeconfig string) ([]byte, error) {
	config, err := clientcmd.Load([]byte(kubeconfig))
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig can't be read: %w", err)
	}
	for _, c := range config.Clusters {
		return c.CertificateAuthorityData, nil
	}
	return nil, fmt.Errorf("the kubeconfig has no cluster")
}

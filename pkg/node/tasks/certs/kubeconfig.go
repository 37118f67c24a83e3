package certs

import (
	"errors"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// login is what a kubeconfig's current context logs in with.
type login struct {
	server        string
	ca, cert, key []byte
}

// errKubeconfig hides the parser's error, which may quote a key.
var errKubeconfig = errors.New("the kubeconfig can't be read, or has no current context")

func parseKubeconfig(raw []byte) (*api.Config, *api.Cluster, *api.AuthInfo, error) {
	c, err := clientcmd.Load(raw)
	if err != nil {
		return nil, nil, nil, errKubeconfig
	}
	if current := c.Contexts[c.CurrentContext]; current != nil && c.Clusters[current.Cluster] != nil && c.AuthInfos[current.AuthInfo] != nil {
		return c, c.Clusters[current.Cluster], c.AuthInfos[current.AuthInfo], nil
	}
	// Without a current context there is no doubt either when there is one of each.
	if len(c.Clusters) == 1 && len(c.AuthInfos) == 1 {
		for _, cluster := range c.Clusters {
			for _, user := range c.AuthInfos {
				return c, cluster, user, nil
			}
		}
	}
	return nil, nil, nil, errKubeconfig
}

func readLogin(raw []byte) (login, error) {
	_, cluster, user, err := parseKubeconfig(raw)
	if err != nil {
		return login{}, err
	}
	return login{server: cluster.Server, ca: cluster.CertificateAuthorityData, cert: user.ClientCertificateData, key: user.ClientKeyData}, nil
}

// withLogin is the kubeconfig with another certificate and key; all else stays.
func withLogin(raw, cert, key []byte) ([]byte, error) {
	c, _, user, err := parseKubeconfig(raw)
	if err != nil {
		return nil, err
	}
	user.ClientCertificateData, user.ClientKeyData = cert, key
	return clientcmd.Write(*c)
}

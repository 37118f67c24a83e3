package certs

import (
	"path"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// writeKubeconfig writes one as kubeadm does.
func writeKubeconfig(t *testing.T, h *host.Host, name, server string, ca []byte, pair pki.KeyPair) {
	t.Helper()
	c := api.NewConfig()
	c.Clusters["kubernetes"] = &api.Cluster{Server: server, CertificateAuthorityData: ca}
	c.AuthInfos["user"] = &api.AuthInfo{ClientCertificateData: pair.CertPEM, ClientKeyData: pair.KeyPEM}
	c.Contexts["user@kubernetes"] = &api.Context{Cluster: "kubernetes", AuthInfo: "user"}
	c.CurrentContext = "user@kubernetes"
	raw, err := clientcmd.Write(*c)
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Write(t, h, path.Join(kubernetesDir, name), string(raw), 0o600)
}

package kubeconfig

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
)

// ErrForeign: a kubeconfig has entries of other clusters.
var ErrForeign = errors.New("it has other contexts as well")

// Existing is a kubeconfig that is there already.
type Existing struct {
	Content []byte
	// Server that its context points at.
	Server string
	// Expires is when its identity ends; zero when that can't be told.
	Expires time.Time
}

// Load reads the kubeconfig of a cluster that was written before. It is an
// error that wraps fs.ErrNotExist when there is none, and ErrForeign when
// other clusters are in it, so that it must not be replaced.
func Load(path, cluster string) (*Existing, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := clientcmd.Load(content)
	if err != nil {
		// What the decoder says of foreign content helps nobody.
		return nil, fmt.Errorf("%s, which is no kubeconfig", path)
	}
	for name := range c.Contexts {
		if name != cluster {
			return nil, fmt.Errorf("%s: %w (%s)", path, ErrForeign, name)
		}
	}
	context := c.Contexts[cluster]
	if context == nil || c.Clusters[context.Cluster] == nil || c.AuthInfos[context.AuthInfo] == nil || c.CurrentContext != cluster {
		return &Existing{Content: content}, nil
	}
	return &Existing{Content: content, Server: c.Clusters[context.Cluster].Server, Expires: expiry(c.AuthInfos[context.AuthInfo])}, nil
}

// expiry is when a login ends, as far as the login itself tells.
func expiry(login *clientcmdapi.AuthInfo) time.Time {
	_, ends := life(login)
	return ends
}

// life is from when to when a login is good; zero for what it does not tell.
func life(login *clientcmdapi.AuthInfo) (begins, ends time.Time) {
	if certs, err := cert.ParseCertsPEM(login.ClientCertificateData); err == nil {
		return certs[0].NotBefore, certs[0].NotAfter
	}
	parts := strings.Split(login.Token, ".")
	if len(parts) != 3 {
		return begins, ends
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Iat int64 `json:"iat"`
		Exp int64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(raw, &claims) != nil || claims.Exp == 0 {
		return begins, ends
	}
	if claims.Iat != 0 {
		begins = time.Unix(claims.Iat, 0)
	}
	return begins, time.Unix(claims.Exp, 0)
}

// Lasts tells whether the identity is good for a while yet: a third of what a
// new one of its kind would be.
func (e *Existing) Lasts(now time.Time) bool {
	least := DefaultCertificate / 3
	if strings.Contains(string(e.Content), "token:") {
		least = DefaultToken / 3
	}
	return e.Expires.After(now.Add(least))
}

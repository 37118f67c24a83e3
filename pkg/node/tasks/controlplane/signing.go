package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	// SigningCA is the CA that controller-manager signs with for as long as there are two in
	// ca.crt, which is while the cluster's CA is rotated: it refuses a file with more than one
	// (caProvider in https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/certificates/signer/ca_provider.go).
	SigningCA = pkiDir + "/ca-signing.crt"
	// SigningFlag is controller-manager's, and names the file.
	SigningFlag = "cluster-signing-cert-file"

	controllerManagerManifest = manifestsDir + "/kube-controller-manager.yaml"
)

// signWithOne has controller-manager sign with a file that has one CA in it, on a host that has
// been given two: it joins while the cluster's CA is rotated.
func signWithOne(ctx context.Context, h *host.Host) error {
	trusted, errTrusted := h.ReadFile(caCert)
	key, errKey := h.ReadFile(pkiDir + "/ca.key")
	manifest, errManifest := h.ReadFile(controllerManagerManifest)
	err := errors.Join(errTrusted, errKey, errManifest)
	if errors.Is(err, fs.ErrNotExist) && h.DryRun() {
		return nil
	}
	if err != nil {
		return err
	}
	all := pki.Certs(trusted)
	if len(all) < 2 {
		return nil
	}
	var signer []byte
	for _, c := range all {
		if pki.Holds(key, c) {
			signer = c
		}
	}
	if signer == nil {
		return fmt.Errorf("the key of the cluster's CA belongs to none of the %d CAs in %s", len(all), caCert)
	}
	content, err := SetFlag(manifest, SigningFlag, SigningCA)
	if err != nil {
		return fmt.Errorf("%s: %w", controllerManagerManifest, err)
	}
	if _, err := h.WriteFile(ctx, host.File{Path: SigningCA, Mode: 0o644, Content: signer, Note: "the CA that controller-manager signs with"}); err != nil {
		return err
	}
	_, err = h.WriteFile(ctx, host.File{Path: controllerManagerManifest, Mode: 0o600, Content: content, Note: "the CA that controller-manager signs with"})
	return err
}

// SetFlag sets an argument of a static pod's command that is there already, once, and leaves all
// else as it is.
func SetFlag(manifest []byte, name, value string) ([]byte, error) {
	at := regexp.MustCompile(`(?m)^(\s*- --` + regexp.QuoteMeta(name) + `=)\S+$`)
	if len(at.FindAll(manifest, -1)) != 1 {
		return nil, fmt.Errorf("--%s is not there exactly once", name)
	}
	return at.ReplaceAll(manifest, []byte("${1}"+value)), nil
}

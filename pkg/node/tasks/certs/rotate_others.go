package certs

import (
	"context"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// frontProxy exchanges the CA of the aggregation layer. The apiserver reads it, and the
// certificate, when the files change, and publishes the CA for extension servers in the
// ConfigMap kube-system/extension-apiserver-authentication.
func (r *rotation) frontProxy(ctx context.Context) error {
	if !r.controlPlane {
		return nil
	}
	if r.Phase == PhaseFinish {
		if err := r.unfinished(SignerFrontProxy); err != nil {
			return err
		}
	}
	if err := r.keepBoth(ctx); err != nil {
		return err
	}
	trust, key := r.Authority.files()
	files := []host.File{{Path: trust, Mode: 0o644, Content: r.Anchors(), Note: "the CAs of the front proxy"}}
	if r.Phase != PhaseFinish {
		pair, err := r.signing()
		if err != nil {
			return err
		}
		files = append([]host.File{{Path: key, Mode: 0o600, Content: pair.KeyPEM, Note: "the key of the front proxy's CA", Unkept: true}}, files...)
	}
	if err := r.write(ctx, files...); err != nil {
		return err
	}
	switch r.Phase {
	case PhaseIssue:
		return r.reissue(ctx, SignerFrontProxy)
	case PhaseFinish:
		return r.Authority.forget(ctx, r.h)
	}
	return nil
}

// serviceAccount exchanges the key that signs service accounts' tokens. The apiserver reads the
// keys at its start only, and so does controller-manager with the one that signs.
func (r *rotation) serviceAccount(ctx context.Context) error {
	if !r.controlPlane {
		return nil
	}
	if err := r.keepBoth(ctx); err != nil {
		return err
	}
	public, private := r.Authority.files()
	files := []host.File{{Path: public, Mode: 0o644, Content: r.Anchors(), Note: "the keys that tokens of service accounts are verified with"}}
	if r.Phase != PhaseFinish {
		pair, err := r.signing()
		if err != nil {
			return err
		}
		files = append([]host.File{{Path: private, Mode: 0o600, Content: pair.KeyPEM, Note: "the key that signs tokens of service accounts", Unkept: true}}, files...)
	}
	if err := r.write(ctx, files...); err != nil {
		return err
	}
	if err := r.restart(ctx, apiserverProgram, public, private); err != nil {
		return err
	}
	if err := r.restart(ctx, controllerManagerProgram, private); err != nil {
		return err
	}
	if r.Phase == PhaseFinish {
		return r.Authority.forget(ctx, r.h)
	}
	return nil
}

// etcd exchanges the CAs that this host's apiserver knows etcd by, which it reads at its start only.
// Members have their own (etcdmember.Trust), and what is signed is signed elsewhere (Install).
func (r *rotation) etcd(ctx context.Context) error {
	if !r.controlPlane {
		return nil
	}
	if r.Phase == PhaseFinish {
		if err := r.unfinished(SignerEtcd); err != nil {
			return err
		}
	}
	trust, _ := r.Authority.files()
	now, err := r.h.ReadFile(trust)
	if err != nil {
		return fmt.Errorf("the CA that the apiserver knows etcd by: %w", err)
	}
	if !r.About(now) {
		return host.WithHint(fmt.Errorf("%s has another CA than the two of this rotation", trust), "kubectl ha certs status --deep shows who has which CA")
	}
	if !r.Reached(now) {
		if err := r.write(ctx, host.File{Path: trust, Mode: 0o644, Content: r.Anchors(), Note: "the CAs of etcd, for the apiserver"}); err != nil {
			return err
		}
	}
	return r.restart(ctx, apiserverProgram, trust)
}

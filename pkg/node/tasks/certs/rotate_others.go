package certs

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
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
	files := []host.File{{Path: trust, Mode: 0o644, Content: r.anchors(), Note: "the CAs of the front proxy"}}
	if r.Phase != PhaseFinish {
		pair, err := r.signing()
		if err != nil {
			return err
		}
		files = append([]host.File{{Path: key, Mode: 0o600, Content: pair.KeyPEM, Note: "the key of the front proxy's CA"}}, files...)
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
	files := []host.File{{Path: public, Mode: 0o644, Content: r.anchors(), Note: "the keys that tokens of service accounts are verified with"}}
	if r.Phase != PhaseFinish {
		pair, err := r.signing()
		if err != nil {
			return err
		}
		files = append([]host.File{{Path: private, Mode: 0o600, Content: pair.KeyPEM, Note: "the key that signs tokens of service accounts"}}, files...)
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

// etcd exchanges the CA that members and apiservers trust. Both read it at their start only.
// What it signs is signed where its key is, and installed as in a renewal.
func (r *rotation) etcd(ctx context.Context) error {
	if r.Phase == PhaseIssue {
		return errors.New("etcd's CA signs where its key is: certificates are installed, and not signed on a host")
	}
	if r.Phase == PhaseFinish {
		if err := r.unfinished(SignerEtcd); err != nil {
			return err
		}
	}
	for _, file := range etcdTrust() {
		if _, err := r.h.Stat(file); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if err := r.write(ctx, host.File{Path: file, Mode: 0o644, Content: r.anchors(), Note: "the CAs of etcd"}); err != nil {
			return err
		}
	}
	if err := r.restartMember(ctx); err != nil || !r.controlPlane {
		return err
	}
	return r.restart(ctx, apiserverProgram, localEtcdDir+"/ca.crt")
}

// restartMember restarts the host's etcd member if it was started before its CA file changed.
// A leader hands over first, so that the others need not notice that it is gone.
func (r *rotation) restartMember(ctx context.Context) error {
	file := etcdmember.PKIDir + "/ca.crt"
	info, err := r.h.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // No member is on this host.
	}
	if err != nil {
		return err
	}
	unit, err := r.h.Unit(ctx, etcdmember.UnitName)
	if err != nil {
		return err
	}
	if !unit.Active() || !unit.Started.Before(info.ModTime()) {
		return r.deps.well(ctx, r.env, etcdmember.UnitName)
	}
	if err := r.deps.spare(ctx, r.env); err != nil {
		return err
	}
	r.env.Progress("restarting the etcd member")
	if _, err := r.h.EnsureUnit(ctx, etcdmember.UnitName, true); err != nil {
		return err
	}
	r.data.Restarted = append(r.data.Restarted, etcdmember.UnitName)
	return r.well(ctx, etcdmember.UnitName)
}

// spareTimeout bounds the wait until the others can do without a member.
const spareTimeout = 2 * time.Minute

// spare waits until etcd can do without the host's member, and has it hand its leadership over.
func spare(ctx context.Context, env node.Env) (err error) {
	client, err := connectMembers(ctx, env.Host)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	own := strings.Split(etcdSetting(env.Host, "advertise-client-urls"), ",")[0]
	view, err := client.WaitSpare(ctx, spareTimeout, own, func(wrong error) { env.Progress("%v", wrong) })
	if err != nil {
		return host.WithHint(err, "bring the other members back, then resume")
	}
	at := slices.IndexFunc(view.Status, func(s etcd.MemberStatus) bool { return s.Endpoint == own && s.ID == s.Leader })
	if at >= 0 && !client.HandOver(ctx, view, view.Status[at].ID) {
		env.Progress("no other member took over the leadership: they elect one") // For about a second nothing is written then.
	}
	return nil
}

// connectMembers connects to all members, as the host's own.
func connectMembers(ctx context.Context, h *host.Host) (*etcd.Client, error) {
	ca, errCA := h.ReadFile(etcdmember.PKIDir + "/ca.crt")
	cert, errCert := h.ReadFile(etcdmember.PKIDir + "/server.crt")
	key, errKey := h.ReadFile(etcdmember.PKIDir + "/server.key")
	if err := errors.Join(errCA, errCert, errKey); err != nil {
		return nil, err
	}
	id := etcd.TLS{CA: ca, Cert: cert, Key: key}
	own := strings.Split(etcdSetting(h, "advertise-client-urls"), ",")
	first, err := etcd.Connect(ctx, own, id)
	if err != nil {
		return nil, err
	}
	members, err := first.Members(ctx)
	if err := errors.Join(err, first.Close()); err != nil {
		return nil, err
	}
	var endpoints []string
	for _, m := range members {
		if len(m.ClientURLs) > 0 {
			endpoints = append(endpoints, m.ClientURLs[0])
		}
	}
	return etcd.Connect(ctx, endpoints, id)
}

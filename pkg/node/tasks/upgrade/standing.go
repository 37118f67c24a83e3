package upgrade

import (
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
)

// abandonedAfter is when nobody goes on any more with what was begun: all that a part may
// take, more than twice.
const abandonedAfter = 90 * time.Minute

// abandoned tells whether a part was begun so long ago that nobody works at it any more.
func abandoned(m mark, now time.Time) bool {
	return !m.Since.IsZero() && now.Sub(m.Since) > abandonedAfter
}

// leave notes that a part stands at a version after the one that it comes from, when it is
// whole there.
func leave(ctx context.Context, h *host.Host, p part, m mark, k kept) (bool, error) {
	ok, err := stands(ctx, h, p, m, k)
	if err != nil || !ok {
		return false, err
	}
	m.State = standing
	return true, m.write(ctx, h, p)
}

// stands tells whether a part's files are whole, all at one version after m.From.
func stands(ctx context.Context, h *host.Host, p part, m mark, k kept) (bool, error) {
	broken, err := k.broken(h)
	if err != nil || len(broken) > 0 {
		return false, err
	}
	if p == kubeletPart {
		at, err := kubeletVersion(ctx, h)
		return err == nil && after(at, m.From), nil //nolint:nilerr // A program that can't say its version is not whole.
	}
	versions, err := podVersions(h)
	if err != nil {
		return false, err
	}
	at := versions[components[0]]
	return allAt(versions, at) && after(at, m.From), nil
}

// after tells whether a version comes after another one.
func after(v, other string) bool {
	a, errA := version.ParseSemantic(v)
	b, errB := version.ParseSemantic(other)
	return errA == nil && errB == nil && b.LessThan(a)
}

// SettleSpec ends what an Operation has begun on a host and does not bring to its end.
type SettleSpec struct {
	// TakeBack: what is not well at the new version becomes what it was before. Without it that
	// stays for who goes on with the Operation, and a boot takes it back.
	TakeBack bool `json:"takeBack,omitempty"`
	// LocalEndpoint is https://address:port of this host's apiserver; empty on nodes that are
	// no control plane.
	LocalEndpoint string `json:"localEndpoint,omitempty"`
}

// SettleData is what became of the parts: control-plane, kubelet.
type SettleData struct {
	// Standing are those that are well at a later version: no boot takes them back.
	Standing []string `json:"standing,omitempty"`
	// TakenBack are those that are what they were before.
	TakenBack []string `json:"takenBack,omitempty"`
	// Armed are those that a boot takes back.
	Armed []string `json:"armed,omitempty"`
}

// Settle ends what an Operation has begun on a host and does not bring to its end. Otherwise a
// boot of months later would take back what everybody has got used to.
func Settle(ctx context.Context, env node.Env, spec SettleSpec) (any, error) {
	return onHost().settleAll(ctx, env, spec)
}

func (up upgrader) settleAll(ctx context.Context, env node.Env, spec SettleSpec) (any, error) {
	h, data := env.Host, SettleData{}
	if err := controlplane.WaitOther(ctx, env); err != nil {
		return data, err
	}
	back := map[part]kept{}
	var wrong []error
	for _, p := range []part{controlPlanePart, kubeletPart} {
		m, k, ok, err := unfinished(h, p)
		switch {
		case err != nil:
			wrong = append(wrong, err)
			continue
		case !ok || m.State == standing:
			continue
		}
		well, err := up.well(ctx, env, p, m, k, spec.LocalEndpoint)
		switch {
		case err != nil:
			wrong = append(wrong, err)
		case well:
			m.State = standing
			wrong = append(wrong, m.write(ctx, h, p))
			data.Standing = append(data.Standing, string(p))
		case spec.TakeBack:
			back[p] = k
		default:
			data.Armed = append(data.Armed, string(p))
		}
	}
	if len(back) > 0 {
		if err := up.settleBack(ctx, env, back, spec.LocalEndpoint); err != nil {
			return data, errors.Join(append(wrong, err)...)
		}
		for _, p := range []part{controlPlanePart, kubeletPart} {
			if _, ok := back[p]; ok {
				data.TakenBack = append(data.TakenBack, string(p))
			}
		}
	}
	return data, errors.Join(append(wrong, unguard(ctx, h))...)
}

// well tells whether a part stands at a later version and does its work there. The error is
// about the look alone.
func (up upgrader) well(ctx context.Context, env node.Env, p part, m mark, k kept, endpoint string) (bool, error) {
	ok, err := stands(ctx, env.Host, p, m, k)
	if err != nil || !ok {
		return false, err
	}
	// What is not well is a finding, not an error, unless the time is up.
	if p == kubeletPart {
		_, err = up.startKubelet(ctx, env)
	} else if endpoint != "" {
		err = controlplane.WaitLocal(ctx, env, endpoint)
	}
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	return err == nil, nil
}

// settleBack puts parts back, the kubelet first: it must never be newer than its apiserver.
func (up upgrader) settleBack(ctx context.Context, env node.Env, back map[part]kept, endpoint string) error {
	h := env.Host
	for _, p := range []part{kubeletPart, controlPlanePart} {
		k, ok := back[p]
		if !ok {
			continue
		}
		env.Progress("putting the %s of %s back", p, k.Version)
		if _, err := takeBack(ctx, h, p, k); err != nil {
			return err
		}
		if _, err := up.startKubelet(ctx, env); err != nil {
			return err
		}
	}
	if _, ok := back[controlPlanePart]; ok && endpoint != "" {
		if err := controlplane.WaitLocal(ctx, env, endpoint); err != nil {
			return err
		}
	}
	return endRollback(ctx, h, back)
}

// Unfinished are the parts of the host of which an upgrade has begun and not ended, each with
// the versions that it goes between; a boot takes those back.
func Unfinished(h *host.Host) ([]string, error) {
	var out []string
	for _, p := range []part{controlPlanePart, kubeletPart} {
		m, err := readMark(h, p)
		if err != nil {
			return out, err
		}
		if m.State == begun {
			out = append(out, string(p)+" from "+m.From+" to "+m.To)
		}
	}
	return slices.Clip(out), nil
}

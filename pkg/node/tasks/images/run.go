package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// memoryLimit is what the collector aims at. What is held is bounded by the
// pieces under way; without this, garbage would come on top.
const memoryLimit = 96 << 20

// errEnough ends the peer and what goes with it once nobody needs it.
var errEnough = errors.New("the images are in place")

// Run is the task.
func Run(ctx context.Context, env node.Env, spec Spec) (any, error) {
	if env.Host.DryRun() {
		return nil, nil // What is missing is known once the parcel has come.
	}
	debug.SetMemoryLimit(memoryLimit)
	t := &task{env: env, spec: spec, socket: prepare.Socket, feedSocket: FeedSocket}
	t.shown.names = spec.Names
	data, err := t.run(ctx)
	return data, t.explain(err)
}

// task is one run.
type task struct {
	env    node.Env
	spec   Spec
	peer   *swarm.Peer
	shown  progress
	socket string
	// feedSocket is where `agent feed` connects to.
	feedSocket string
	space      space
}

// run brings the images in, and then gives to others until they have theirs.
func (t *task) run(ctx context.Context) (data Data, err error) {
	content, err := ctrd.OpenContent(ctx, t.socket)
	if err != nil {
		return data, err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	if err := t.directories(ctx); err != nil {
		return data, err
	}
	t.peer, err = swarm.NewPeer(swarm.Config{
		Listen: t.spec.Self, Self: t.spec.Self, Peers: t.spec.Peers, Credentials: t.spec.Credentials, Parcel: t.spec.Parcel,
		Dir: t.env.Host.Path(StagingDir), Local: local{content}, MaxRate: t.spec.MaxRate,
		Log: func(message string) { t.env.Sink.Emit(report.Event{Kind: report.Info, Message: message}) },
	})
	if err != nil {
		return data, err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return t.peer.Run(groupCtx) })
	group.Go(func() error { return t.takeFeeds(groupCtx) })
	group.Go(func() error { return t.watch(groupCtx) })
	group.Go(func() error {
		if err := t.bring(groupCtx, &data); err != nil {
			return err
		}
		t.peer.Complete()
		t.shown.handOn()
		if err := t.peer.WaitAll(groupCtx); err != nil {
			return err
		}
		return errEnough
	})
	err = group.Wait()
	t.account(&data)
	if errors.Is(err, errEnough) && ctx.Err() == nil {
		err = nil
	}
	if err == nil || ctx.Err() == nil && t.diskFull(err) && !t.worthKeeping(err) {
		// Anything else is gone on with by the next run.
		_, removed := t.env.Host.RemoveTree(ctx, StagingDir)
		err = errors.Join(err, removed)
	}
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	t.tellKept()
	// Also when it was broken off.
	_, removed := t.env.Host.Remove(context.WithoutCancel(ctx), FeedDir)
	return data, errors.Join(err, removed)
}

// dropStaged removes what a push that was broken off has left: one task at a time is
// on a host, so no other one uses it.
func dropStaged(ctx context.Context, h *host.Host) error {
	_, err := h.RemoveTree(ctx, StagingDir)
	return err
}

// tellKept tells what a run that was broken off has left on the disk.
func (t *task) tellKept() {
	if there, err := t.env.Host.Exists(StagingDir); err != nil || !there {
		return // What can't be looked at is found by the next run.
	}
	if s := t.peer.Status(); s.FromFeed+s.FromPeers+s.FoundStaged > 0 {
		t.env.Sink.Emit(report.Event{Kind: report.Info, Message: fmt.Sprintf(
			"what has come stays in %s, for the next kubectl ha images push; kubectl ha images prune removes it", StagingDir)})
	}
}

// directories makes what the task needs on the host.
func (t *task) directories(ctx context.Context) error {
	if _, err := t.env.Host.Mkdir(ctx, StagingDir, 0o700, 0, 0); err != nil {
		return err
	}
	_, err := t.env.Host.Mkdir(ctx, FeedDir, 0o700, 0, 0)
	return err
}

// bring waits for the parcel and takes what this node lacks of it, while it still
// arrives: images into containerd, programs where an upgrade finds them.
func (t *task) bring(ctx context.Context, data *Data) error {
	t.shown.say("waiting for the list of images")
	parcel, err := t.peer.Parcel(ctx)
	if err != nil {
		return err
	}
	programs := t.programs(parcel.Programs)
	lacking, err := t.lacking(programs)
	if err != nil {
		return err
	}
	for _, b := range lacking {
		t.peer.Want(b.Blob.Digest)
	}
	if err := t.bringImages(ctx, parcel, data); err != nil {
		return err
	}
	data.Programs = len(lacking)
	return t.stage(ctx, programs)
}

// bringImages imports the images that this node lacks.
func (t *task) bringImages(ctx context.Context, parcel *swarm.Parcel, data *Data) error {
	mine := choose(parcel.Images, t.spec.Roles, t.spec.AllRoles)
	opts := ctrd.ImportOptions{Pinned: pinned(parcel.Images)}
	missing, err := ctrd.Missing(ctx, t.socket, mine, opts)
	if err != nil {
		return err
	}
	data.Images, data.Imported = len(mine), len(missing)
	if len(missing) == 0 {
		return nil
	}
	if err := t.checkSpace(ctx, missing); err != nil {
		return err
	}
	for _, i := range missing {
		if err := t.env.Host.Record(ctx, "image", i.Ref, "image in containerd"); err != nil {
			return err
		}
	}
	t.peer.Want(digests(missing)...)
	t.shown.fetching(len(missing))
	if err := t.awaitTurn(ctx); err != nil {
		return err
	}
	// Those with the fewest bytes first: they can be unpacked while the others arrive.
	slices.SortStableFunc(missing, func(a, b bundle.Image) int { return cmp.Compare(sizeOf(a.Blobs), sizeOf(b.Blobs)) })
	_, err = ctrd.ImportImages(ctx, t.socket, missing, t.peer, opts, func(ref string, _ bool, done, _ int) {
		t.space.done(ref)
		t.shown.imported(done)
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errImport, err)
	}
	return nil
}

// turnTimeout bounds the wait for those that come before this node. On a link so slow
// that they take longer, what is written in a moment is no load for a disk.
const turnTimeout = 5 * time.Minute

// awaitTurn waits for those that come before this node, and for no longer than it may.
func (t *task) awaitTurn(ctx context.Context) error {
	turn, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	if err := t.peer.WaitFor(turn, t.spec.After); err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
		return err
	}
	return nil
}

// errImport is wrapped when containerd did not take an image.
var errImport = errors.New("put the images into containerd")

// worthKeeping says that the disk is full, but not of this run's doing, and that an
// earlier one has brought something that saves room once there is some.
func (t *task) worthKeeping(err error) bool {
	return errors.Is(err, errNoRoom) && t.peer.Status().FoundStaged > 0
}

// choose are the images that a node with these roles is to have.
func choose(all []bundle.Image, roles []v1alpha1.Role, allRoles bool) []bundle.Image {
	spec := v1alpha1.ImagesSpec{AllRoles: allRoles}
	var out []bundle.Image
	for _, i := range all {
		if spec.Wants(i.For, roles) {
			out = append(out, i)
		}
	}
	return out
}

// pinned are the images that no pod names while nothing is done, and without which
// nothing starts: the sandbox's, and the agent's own.
func pinned(all []bundle.Image) []string {
	var out []string
	if ref := (bundle.Contents{Images: all}).PauseImage(); ref != "" {
		out = append(out, ref)
	}
	for _, i := range all {
		if bundle.IsAgentImage(i.Ref) {
			out = append(out, i.Ref)
		}
	}
	return out
}

func digests(list []bundle.Image) []digest.Digest {
	var out []digest.Digest
	for _, b := range (bundle.Contents{Images: list}).Blobs() {
		out = append(out, b.Digest)
	}
	return out
}

// local gives the swarm what containerd has already.
type local struct{ content *ctrd.Content }

// Open opens a blob.
func (l local) Open(ctx context.Context, d digest.Digest) (swarm.Content, error) {
	return l.content.ReaderAt(ctx, d)
}

// account is what travelled.
func (t *task) account(data *Data) {
	s := t.peer.Status()
	data.FromFeed, data.FromPeers, data.Sent = s.FromFeed, s.FromPeers, s.Sent
	for _, p := range s.Peers {
		if !p.Complete {
			data.Gone = append(data.Gone, cmp.Or(t.spec.Names[p.Addr], p.Addr))
		}
	}
}

// explain adds what to do next.
func (t *task) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNobody):
		return host.WithHint(err, "open the nodes' port for each other if one was not reached, then run kubectl ha images push again, with the same bundle: it goes on with what is missing")
	case errors.Is(err, syscall.EROFS):
		return host.WithHint(err, "the file system is read-only: see the kernel's log, check and mount it again, then run kubectl ha images push again")
	case t.diskFull(err):
		return host.WithHint(err, "make room on the node (kubectl ha images prune, or a larger disk), then run kubectl ha images push again")
	}
	return err
}

package balancer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const (
	// lookInterval is the time between two looks at which control planes there are.
	lookInterval = 5 * time.Second
	// hangInterval is the time between two looks at whether haproxy has a server down.
	hangInterval = 500 * time.Millisecond
	// stopTime is how long streams live on when the pod ends; its grace period is longer.
	stopTime = 20 * time.Second
	// maxRetired bounds the programs that were replaced and have not ended.
	maxRetired = 4
)

// Options say where things are in the pod.
type Options struct {
	// SettingsFile holds the Settings.
	SettingsFile string
	// Dir is for configurations, sockets and the state; in memory.
	Dir string
	// CAFile is the cluster's CA, TokenFile the pod's own token.
	CAFile, TokenFile string
	// HostIP is the address of the pod's own control plane, asked first; may be empty.
	HostIP string
	// Log takes a line for people.
	Log func(format string, args ...any)
}

// runner is one Run.
type runner struct {
	Options
	settings Settings
	listener *net.TCPListener
	checker  *Checker
	lister   lister

	wanted     wanted
	program    *program
	generation int
	retired    []*program
	state      State
}

// wanted is what the program that runs was started for.
type wanted struct {
	members
	down map[string]bool
	ca   string
}

// Run keeps the load balancer of this host until the context ends, and then lets what
// it carries end for a moment. An error means that the pod should be started again.
func Run(ctx context.Context, o Options) error {
	raw, err := os.ReadFile(o.SettingsFile)
	if err != nil {
		return fmt.Errorf("the load balancer's settings: %w", err)
	}
	r := &runner{Options: o}
	if r.settings, err = ParseSettings(raw); err != nil {
		return err
	}
	r.lister = lister{port: r.settings.APIServerPort, caFile: o.CAFile, tokenFile: o.TokenFile}
	r.checker = NewChecker(r.settings.APIServerPort, o.CAFile)
	if r.listener, err = take(ctx, r.settings.Port); err != nil {
		return err
	}
	defer r.listener.Close() //nolint:errcheck // the process ends
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := r.change(working, r.look(ctx, members{backends: r.settings.Backends})); err != nil {
		return err
	}
	go give(working, r.settings.Port, r.listener, o.Log)
	err = r.loop(ctx, working)
	r.end()
	return err
}

// loop follows the control planes and, for nginx, their health.
func (r *runner) loop(ctx, working context.Context) error {
	tick, hang := time.NewTicker(lookInterval), time.NewTicker(hangInterval)
	defer tick.Stop()
	defer hang.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.program.exited:
			return fmt.Errorf("%s has ended by itself; its log says why: %v", r.settings.Type, r.program.err)
		case <-tick.C:
			if err := r.change(working, r.look(ctx, r.wanted.members)); err != nil {
				r.Log("%v; what runs goes on as it is", err)
			}
		case <-hang.C:
			if r.state.StatsSocket != "" {
				r.endHanging(ctx)
			}
		case <-r.checker.Changed():
			if err := r.change(working, r.wanted.members); err != nil {
				r.Log("%v; what runs goes on as it is", err)
			}
		}
	}
}

// look asks which control planes there are; those that are known, when nobody answers.
func (r *runner) look(ctx context.Context, known members) members {
	from := known.backends
	if r.HostIP != "" {
		from = append([]Backend{{Name: "this host", Address: r.HostIP}}, from...)
	}
	all, err := r.lister.list(ctx, from)
	message := ""
	if err != nil {
		message = err.Error()
	}
	if message != r.state.ListError && ctx.Err() == nil {
		if r.state.ListError = message; message != "" {
			r.Log("which control planes there are can't be asked, those known before stay: %s", message)
		}
		r.store()
	}
	if err != nil {
		return known
	}
	return all
}

// change has a program run for these control planes, in place of the one that runs
// where that was for others.
func (r *runner) change(ctx context.Context, all members) error {
	backends := all.backends
	if r.settings.Type == v1alpha1.LoadBalancerNginx {
		r.checker.watchAll(ctx, all)
	}
	next := wanted{members: all, down: r.down(backends), ca: sum(r.CAFile)}
	if r.program != nil && reflect.DeepEqual(r.wanted, next) {
		r.sweep()
		return nil
	}
	p, err := start(ctx, r.Dir, r.generation+1, r.settings, func(sign string) []byte { return r.configuration(next, sign) }, r.listener)
	r.generation++
	if err != nil {
		return err
	}
	old, before := r.program, r.wanted
	r.program, r.wanted = p, next
	r.Log("%s hands port %d to %s", r.settings.Type, r.settings.Port, next)
	r.state.Settings, r.state.Backends, r.state.Since = r.settings, backends, time.Now().UTC().Truncate(time.Second)
	r.state.StatsSocket, r.state.IdleSeconds, r.state.Down = "", int(idleTimeout.Seconds()), r.reasons(next.out())
	if r.settings.Type == v1alpha1.LoadBalancerHAProxy {
		r.state.StatsSocket = p.sign
	}
	// Told before the old one ends, so that nobody asks that one any more.
	r.store()
	if old != nil {
		r.retire(old, worse(before.out(), next.out()))
	}
	return nil
}

// down are those that nginx is not to ask; haproxy finds out by itself.
func (r *runner) down(backends []Backend) map[string]bool {
	down := map[string]bool{}
	if r.settings.Type != v1alpha1.LoadBalancerNginx {
		return down
	}
	failing := r.checker.Down()
	for _, b := range backends {
		if failing[b.Name] != "" {
			down[b.Name] = true
		}
	}
	return down
}

// reasons are why these get no connections.
func (r *runner) reasons(down map[string]bool) map[string]string {
	failing, out := r.checker.Down(), map[string]string{}
	for name := range down {
		// It may have become well in between, of which the next change tells.
		out[name] = cmp.Or(failing[name], "its checks failed")
	}
	return out
}

// out are those that get no connections. When all fail it is overload, and nobody's
// streams would be better off elsewhere: all get some.
func (w wanted) out() map[string]bool {
	if len(w.down) == len(w.backends) {
		return nil
	}
	return w.down
}

// worse tells whether somebody is down who was not.
func worse(before, after map[string]bool) bool {
	for name := range after {
		if !before[name] {
			return true
		}
	}
	return false
}

func (r *runner) configuration(w wanted, sign string) []byte {
	if r.settings.Type == v1alpha1.LoadBalancerNginx {
		return nginxConfig(r.settings, w.backends, w.down, connections(), r.listener.Addr(), sign)
	}
	return haproxyConfig(r.settings, w.members, connections(), r.CAFile, sign)
}

// connections are as many as the files that a program may open are enough for: two a
// connection, and some for checks and the program itself.
func connections() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Max > 3*maxConnections {
		return maxConnections
	}
	return max((int(limit.Max)-500)/2, 100)
}

// retire lets a program that was replaced end. When that was for an apiserver that
// fails, and that still fails a while later, the program ends then: nginx can't end the
// streams of one apiserver alone, and whoever waits for that one would wait for ever.
// Programs that were replaced before may have streams of it as well.
func (r *runner) retire(p *program, failing bool) {
	p.retire()
	r.retired = append(r.retired, p)
	time.AfterFunc(drainTime, p.kill)
	if failing {
		old, since := slices.Clone(r.retired), time.Now()
		time.AfterFunc(hangTime, func() {
			if r.checker.DownSince(since) {
				killAll(old)
			}
		})
	}
	r.sweep()
}

func killAll(programs []*program) {
	for _, p := range programs {
		p.kill()
	}
}

// endHanging ends the streams of servers that haproxy has had down for a while. When all
// are down, it is overload rather than a failure, and nobody's streams would be better
// off elsewhere.
func (r *runner) endHanging(ctx context.Context) {
	all, err := askHAProxy(ctx, r.state.StatsSocket)
	if err != nil {
		return // The next look tells; a haproxy that has ended tells by that.
	}
	var hanging []string
	for _, h := range all {
		if !h.Up && h.Seconds >= int(hangTime.Seconds()) {
			hanging = append(hanging, h.Name)
		}
	}
	if len(hanging) == len(all) {
		return
	}
	for _, name := range hanging {
		streams := slices.IndexFunc(all, func(h Health) bool { return h.Name == name && h.Streams != 0 })
		if streams < 0 {
			continue
		}
		r.Log("%s has been down for %s: its streams are ended", name, hangTime)
		if err := endStreams(ctx, r.state.StatsSocket, name); err != nil {
			r.Log("%v", err)
		}
		// Those that were replaced don't check any more, and may have streams of it.
		go killAll(slices.Clone(r.retired))
	}
}

// sweep forgets programs that have ended, and ends the oldest of too many.
func (r *runner) sweep() {
	r.retired = slices.DeleteFunc(r.retired, func(p *program) bool {
		select {
		case <-p.exited:
			p.tidy()
			return true
		default:
			return false
		}
	})
	for len(r.retired) > maxRetired {
		go r.retired[0].kill()
		r.retired = r.retired[1:]
	}
}

// end takes no new connections, and lets those that there are end for a moment. Another
// pod that took the socket over has it all the while; without one, whoever comes now is
// refused at once instead of waiting in a queue that nobody serves.
func (r *runner) end() {
	_ = os.Remove(ReadyFile(r.Dir)) // The pod ends.
	_ = r.listener.Close()          // Closing a socket that is shared can't lose anything.
	r.program.retire()
	limit := time.After(stopTime)
	for _, p := range append(r.retired, r.program) {
		select {
		case <-p.exited:
		case <-limit:
			limit = closed()
			p.kill()
		}
	}
}

func closed() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}

// String lists them for people.
func (w wanted) String() string {
	text := ""
	for _, b := range w.backends {
		text += " " + b.Name
		if w.down[b.Name] {
			text += " (down)"
		}
	}
	return text[min(1, len(text)):]
}

// sum is a file's digest; empty when it can't be read, which whoever uses it will tell.
func sum(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	digest := sha256.Sum256(raw)
	return hex.EncodeToString(digest[:])
}

// ReadyFile is there while the load balancer serves.
func ReadyFile(dir string) string { return filepath.Join(dir, "state.json") }

package bootstrap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

// Steps that are no tasks on a host.
const (
	// StepJoin hands over to the cluster itself.
	StepJoin = "join"
	// StepKubeconfig writes the caller's kubeconfig.
	StepKubeconfig = "kubeconfig"
)

// Bounds of the steps. They are for what hangs; what is merely slow, such as a
// bundle over a thin link, must fit.
const (
	prepareTimeout = 2 * time.Hour
	etcdTimeout    = 5 * time.Minute
	vipTimeout     = 10 * time.Minute // a package manager may have to install keepalived
	initTimeout    = 15 * time.Minute
	joinTimeout    = 10 * time.Minute
	tidyTimeout    = 5 * time.Minute
)

// MakePlan says what is to be done to have the cluster as wanted, and what of
// it is done already. It is pure, and what it returns holds no secret. Nothing
// waits for more than it needs: hosts are prepared side by side, and each
// begins with what comes next as soon as it is ready itself.
func MakePlan(c *v1alpha1.Cluster, o Observation, in Inputs) (plan.Plan, error) {
	p := &planner{c: c, o: o, in: in}
	p.source, p.made = source(c, o)
	if p.source.Name == "" {
		return plan.Plan{}, fmt.Errorf("no host has the role %s", v1alpha1.RoleControlPlane)
	}
	for _, h := range p.order() {
		p.prepare(h)
	}
	for _, h := range p.order() {
		if isIn(c.Nodes(), h) {
			p.images(h)
		}
	}
	if !c.Stacked() { // kubeadm makes its own etcd, with each control plane.
		p.externalEtcd()
	}
	for _, h := range p.holdersFirst() {
		p.vip(h)
	}
	p.init()
	for _, h := range c.Nodes() {
		if h.Name != p.source.Name {
			p.joinNode(h)
		}
	}
	p.tidy()
	p.handOver()
	out := plan.Plan{Steps: p.steps, Notes: in.Notes}
	return out, out.Validate()
}

type planner struct {
	c  *v1alpha1.Cluster
	o  Observation
	in Inputs
	// source is the control plane to make the others from; made when it is one.
	source v1alpha1.Host
	made   bool
	steps  []plan.Step
}

func (p *planner) add(s plan.Step) { p.steps = append(p.steps, s) }

// order has the source first: all others wait for it, and it is fed the bundle.
func (p *planner) order() []v1alpha1.Host {
	out := []v1alpha1.Host{p.source}
	for _, h := range p.c.Spec.Hosts {
		if h.Name != p.source.Name {
			out = append(out, h)
		}
	}
	return out
}

func (p *planner) prepare(h v1alpha1.Host) {
	s := plan.Step{ID: id(tasks.Prepare, h), Host: h.Name, Task: tasks.Prepare, Timeout: prepareTimeout,
		Title: "install binaries and the container runtime"}
	spec := prepareSettings(p.c, h)
	s.Settings = settings(spec)
	if p.in.Contents != nil {
		contents := p.in.Contents.For(spec.Roles)
		spec.SandboxImage = contents.PauseImage()
		contents.Images = nil
		spec.Contents = contents
		if p.prepared(h, contents) && p.o[h.Name].Facts.Ours.Settings[tasks.Prepare] == s.Settings {
			s.Skip = "they are there"
		}
	}
	s.Spec = spec
	p.add(s)
}

// prepareSettings is the part of a host's spec that comes from the Cluster file.
func prepareSettings(c *v1alpha1.Cluster, h v1alpha1.Host) prepare.Spec {
	return prepare.Spec{Node: h.Name, Roles: roles(c, h), Environment: environment(c), RegistryMirrors: registryMirrors(c)}
}

// settings is the digest of a spec that holds settings only.
func settings(spec any) string {
	text, err := json.Marshal(spec)
	if err != nil {
		return "" // Specs are plain data; whoever sends one has the error again.
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// prepared tells whether a host has all binaries that the bundle has for it, and this
// version's agent where this version has it.
func (p *planner) prepared(h v1alpha1.Host, contents bundle.Contents) bool {
	seen := p.o[h.Name]
	if !seen.done(tasks.Prepare) || !seen.Facts.AgentInstalled {
		return false
	}
	for _, b := range contents.Binaries {
		if seen.Facts.Binaries[b.Path] != b.SHA256 {
			return false
		}
	}
	return true
}

// images come to the source first: the first control plane is what everything
// waits for, and its images are those that the others fetch from it. They get
// theirs while it starts.
func (p *planner) images(h v1alpha1.Host) {
	s := plan.Step{ID: id(tasks.Images, h), Host: h.Name, Task: tasks.Images, Timeout: prepareTimeout,
		Title: "import images", After: []string{id(tasks.Prepare, h)}}
	spec := prepare.ImagesSpec{AgentImage: p.in.AgentImage}
	if h.Name != p.source.Name {
		s.After = append(s.After, id(tasks.Images, p.source))
	}
	if p.in.Contents != nil {
		contents := p.in.Contents.For(roles(p.c, h))
		spec.Images, spec.SandboxImage = contents.Images, contents.PauseImage()
	}
	if p.imported(h) {
		s.Skip = "they are there"
	}
	s.Spec = spec
	p.add(s)
}

// imported tells whether a host has all images that the bundle has for it, and
// the agent's.
func (p *planner) imported(h v1alpha1.Host) bool {
	seen := p.o[h.Name]
	if p.in.Contents == nil || !seen.done(tasks.Images) {
		return false
	}
	for _, i := range p.in.Contents.For(roles(p.c, h)).Images {
		if seen.Facts.Images[i.Ref] != string(i.Manifest.Digest) {
			return false
		}
	}
	agent := seen.Facts.Images[p.in.AgentImage]
	return p.in.AgentImage == "" || agent != "" && (p.in.AgentDigest == "" || agent == p.in.AgentDigest)
}

// tidy removes what was fetched, once nobody needs it any more from anybody, and
// what earlier runs left.
func (p *planner) tidy() { p.tidyUp(p.order()) }

// tidyUp is tidy for some of the hosts.
func (p *planner) tidyUp(hosts []v1alpha1.Host) {
	var after []string
	busy := map[string]bool{}
	for _, s := range p.steps {
		if s.Task == tasks.Prepare || s.Task == tasks.Images {
			after = append(after, s.ID)
			busy[s.Host] = busy[s.Host] || s.Skip == ""
		}
	}
	for _, h := range hosts {
		s := plan.Step{ID: id(tasks.Tidy, h), Host: h.Name, Task: tasks.Tidy, After: after, Timeout: tidyTimeout,
			Title: "remove what was fetched", Spec: prepare.TidySpec{}}
		if !busy[h.Name] && !p.o[h.Name].Facts.Fetched {
			s.Skip = "nothing is there"
		}
		p.add(s)
	}
}

// externalEtcd are the members under systemd, from their start to the logins to them.
func (p *planner) externalEtcd() {
	for _, h := range p.members() {
		p.etcd(h)
	}
	for _, h := range p.members() {
		p.renewMember(h)
	}
	p.etcdHealth()
	for _, h := range p.c.ControlPlanes() {
		p.renewLogin(h)
	}
}

// etcd starts the member, or restarts it with settings that have changed:
// one after the other, when those that are away have been started. The task itself
// sees to the quorum.
func (p *planner) etcd(h v1alpha1.Host) {
	members := map[string]string{}
	for _, m := range p.c.EtcdMembers() {
		members[m.Name] = m.Address
	}
	s := plan.Step{ID: id(tasks.Etcd, h), Host: h.Name, Task: tasks.Etcd, After: []string{id(tasks.Prepare, h)},
		Timeout: etcdTimeout, Title: "start the etcd member", Spec: etcdmember.Spec{
			Name: h.Name, Address: h.Address, Members: members, DataDir: p.c.Spec.Etcd.DataDir, Args: p.c.Spec.Etcd.ExtraArgs,
			New: !clusterInUse(p.c, p.o)}}
	s.Settings = settings(p.c.Spec.Etcd.ExtraArgs)
	switch {
	case !p.memberRuns(h):
	case p.o[h.Name].Facts.Ours.Settings[tasks.Etcd] == s.Settings:
		s.Skip = "the member runs"
	default:
		s.Title = "apply the etcd member's settings"
		for _, o := range p.steps {
			if o.Task == tasks.Etcd {
				s.After = append(s.After, o.ID)
			}
		}
	}
	p.add(s)
}

// members are the etcd members, those that are away first.
func (p *planner) members() []v1alpha1.Host {
	var away, run []v1alpha1.Host
	for _, h := range p.c.EtcdMembers() {
		if p.memberRuns(h) {
			run = append(run, h)
		} else {
			away = append(away, h)
		}
	}
	return append(away, run...)
}

func (p *planner) memberRuns(h v1alpha1.Host) bool {
	st := p.o[h.Name].Facts.State
	return p.o[h.Name].done(tasks.Etcd) && st.EtcdActive && st.EtcdData && slices.Contains(p.in.EtcdCAs, st.EtcdCA)
}

func (p *planner) etcdHealth() {
	member := p.c.EtcdMembers()[0]
	s := plan.Step{ID: tasks.EtcdHealth, Host: member.Name, Task: tasks.EtcdHealth, Timeout: etcdTimeout,
		Title: "wait for a healthy etcd", Spec: etcdmember.HealthSpec{Endpoints: p.c.EtcdEndpoints()}}
	skipped := true
	for _, h := range p.c.EtcdMembers() {
		s.After = append(s.After, id(tasks.Etcd, h))
		skipped = skipped && p.step(id(tasks.Etcd, h)).Skip != ""
	}
	s.After = append(s.After, p.renewals()...)
	skipped = skipped && len(p.renewals()) == 0
	if skipped && p.o[p.source.Name].Facts.State.APIServerReady {
		s.Skip = "the apiserver that uses it is ready"
	}
	p.add(s)
}

func (p *planner) init() {
	h := p.source
	spec := controlplane.InitSpec{Patches: p.c.Spec.Kubeadm.Patches, LocalEndpoint: p.c.APIServerURL(h.Address), VirtualEndpoint: p.c.EndpointURL()}
	s := plan.Step{ID: id(tasks.Init, h), Host: h.Name, Task: tasks.Init, Timeout: initTimeout, Title: "make the first control plane",
		After: []string{id(tasks.Images, h), id(tasks.VIP, h)}}
	if p.c.Stacked() {
		s.Title = "make the first control plane, with its etcd member"
		spec.Stacked = &etcdmember.Stacked{Name: h.Name, Address: h.Address, DataDir: p.c.Spec.Etcd.DataDir}
	} else {
		s.After = slices.Insert(s.After, 1, tasks.EtcdHealth)
	}
	s.Spec = spec
	if p.made {
		s.Skip = "it is one"
	}
	p.add(s)
}

func (p *planner) joinNode(h v1alpha1.Host) {
	s := plan.Step{ID: id(tasks.JoinNode, h), Host: h.Name, Task: tasks.JoinNode, Timeout: joinTimeout, Title: "join the node",
		After: []string{id(tasks.Init, p.source), id(tasks.Images, h)},
		Spec:  controlplane.JoinNodeSpec{Patches: p.c.Spec.Kubeadm.Patches}}
	if p.joined(h) {
		s.Skip = "already joined"
	}
	p.add(s)
}

// joined tells whether the host's kubelet belongs to the cluster and runs.
func (p *planner) joined(h v1alpha1.Host) bool {
	seen := p.o[h.Name]
	return seen.Facts.State.Joined && seen.Facts.State.KubeletActive &&
		(seen.done(tasks.JoinNode) || seen.done(tasks.Promote) || seen.done(tasks.Init))
}

// handOver: from here on the cluster goes on by itself. The kubeconfig needs
// the first control plane only.
func (p *planner) handOver() {
	first := id(tasks.Init, p.source)
	after := []string{first}
	for _, h := range p.c.Nodes() {
		if h.Name != p.source.Name {
			after = append(after, id(tasks.JoinNode, h))
		}
	}
	for _, h := range p.c.ControlPlanes() {
		after = append(after, id(tasks.VIP, h))
	}
	// Nobody is given a login that is about to end.
	after = append(after, p.renewals()...)
	p.add(plan.Step{ID: StepJoin, Task: StepJoin, After: after, Title: "hand over to the cluster: join control plane nodes, apply the settings"})
	// An apiserver without a login to etcd answers to nobody.
	p.add(plan.Step{ID: StepKubeconfig, Task: StepKubeconfig, After: append([]string{first}, p.renewals()...), Title: "write the kubeconfig"})
}

func (p *planner) step(id string) plan.Step {
	i := slices.IndexFunc(p.steps, func(s plan.Step) bool { return s.ID == id })
	return p.steps[i]
}

func id(task string, h v1alpha1.Host) string { return task + "/" + h.Name }

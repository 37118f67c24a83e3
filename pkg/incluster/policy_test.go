package incluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/join"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/lent"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/policy"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/job"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

const testAgent = bundle.AgentRepository + ":test"

// Who refuses a request.
const (
	nobody    = ""
	theRole   = "is forbidden: User"
	thePolicy = "ValidatingAdmissionPolicy 'ha-coordinator'"
	// theGrant is RBAC's own rule: nobody grants what he does not have.
	theGrant = "attempting to grant RBAC permissions not currently held"
)

// held is what somebody may try who has the coordinator's token.
type held struct {
	*testing.T
	c, admin *client.Clients
	cluster  *v1alpha1.Cluster
}

// newHeld is a cluster of kubeadm's in which the policy is in force.
func newHeld(t *testing.T) *held {
	t.Helper()
	s, f := start(t)
	f.create()
	if _, err := incluster.Install(t.Context(), s.Config, f.c); err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(s.Config)
	f.must(err)
	h := &held{T: t, c: asCoordinator(t, s.Config), admin: admin, cluster: f.c}
	// An API server takes a moment to go by a new policy: until a Job is refused that must be.
	h.until("the policy to be in force", func() error {
		err := h.job(h.nodeJob(), func(j *batchv1.Job) { j.Spec.Template.Spec.Containers[0].Image = "elsewhere:1" })
		if err == nil || !strings.Contains(err.Error(), thePolicy) {
			return fmt.Errorf("a foreign image: %v", err)
		}
		return nil
	})
	return h
}

// tried checks who has refused what was tried.
func (h *held) tried(what string, err error, by string) {
	h.Helper()
	switch {
	case by == nobody && err != nil:
		h.Errorf("%s: %v", what, err)
	case by != nobody && (err == nil || !strings.Contains(err.Error(), by)):
		h.Errorf("%s: got %v, want: %s", what, err, by)
	}
}

// until tries again and again.
func (h *held) until(what string, try func() error) {
	h.Helper()
	var last error
	if !poll.Until(deadline, func() bool { last = try(); return last == nil }) {
		h.Fatalf("waiting for %s; last seen: %v", what, last)
	}
}

var dry = []string{metav1.DryRunAll}

// nodeJob is what the coordinator's own transport creates.
func (h *held) nodeJob() *batchv1.Job {
	h.Helper()
	const name = "held-task"
	jobs := h.admin.Kube.BatchV1().Jobs("ha-system")
	have, err := jobs.Get(h.Context(), name, metav1.GetOptions{})
	if err == nil {
		return have
	}
	ctx, cancel := context.WithCancel(h.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := job.Runner{Kube: h.c.Kube, Name: name, Agents: v1alpha1.Agents{{Image: testAgent}}}.Run(ctx, "w1", node.Request{Task: "inspect"}, report.SinkFunc(func(report.Event) {}))
		ended <- err
	}()
	h.until("the node Job to be created", func() error {
		select {
		case err := <-ended:
			h.Fatalf("the node Job is refused: %v", err)
		default:
		}
		have, err = jobs.Get(h.Context(), name, metav1.GetOptions{})
		return err
	})
	cancel()
	<-ended
	return have
}

// job tries to create a Job such as the given one, changed.
func (h *held) job(like *batchv1.Job, change func(*batchv1.Job)) error {
	h.Helper()
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "tried", Namespace: "ha-system"}, Spec: *like.Spec.DeepCopy()}
	j.Spec.Selector, j.Spec.Template.Labels = nil, nil
	j.Spec.Template.Spec.Volumes[0].Secret.SecretName = j.Name
	change(j)
	_, err := h.c.Kube.BatchV1().Jobs(j.Namespace).Create(h.Context(), j, metav1.CreateOptions{DryRun: dry})
	return err
}

// apply tries to apply an object; roles and bindings are applied, since a binding needs its role.
func (h *held) apply(u *unstructured.Unstructured) error {
	h.Helper()
	o := metav1.ApplyOptions{FieldManager: apply.FieldManager, Force: true, DryRun: dry}
	if u.GroupVersionKind().Group == rbacv1.GroupName {
		o.DryRun = nil
	}
	ri, err := apply.Resource(h.c, u)
	if err != nil {
		return err
	}
	_, err = ri.Apply(h.Context(), u.GetName(), u, o)
	return err
}

// TestCoordinatorPolicy: who has the coordinator's token may do what the coordinator does, and
// no other Job, DaemonSet, Secret or role comes of it.
func TestCoordinatorPolicy(t *testing.T) {
	h := newHeld(t)
	// Each in a function of its own, on one API server.
	h.nodeJobs()
	h.roles()
	h.daemonSets()
	h.patches()
	h.secrets()
	h.events()
	h.others()
	h.whileLent()
}

func (h *held) nodeJobs() {
	h.Helper()
	like := h.nodeJob()
	pod := func(change func(*corev1.PodSpec)) func(*batchv1.Job) {
		return func(j *batchv1.Job) { change(&j.Spec.Template.Spec) }
	}
	agent := func(change func(*corev1.Container)) func(*batchv1.Job) {
		return pod(func(p *corev1.PodSpec) { change(&p.Containers[0]) })
	}
	yes, three := true, int32(3)
	for what, c := range map[string]struct {
		change func(*batchv1.Job)
		by     string
	}{
		"as it is":         {func(*batchv1.Job) {}, nobody},
		"another version":  {agent(func(c *corev1.Container) { c.Image = bundle.AgentRepository + ":v9" }), nobody},
		"by its digest":    {agent(func(c *corev1.Container) { c.Image = bundle.AgentRepository + "@sha256:" + strings.Repeat("a", 64) }), nobody},
		"an earlier name":  {agent(func(c *corev1.Container) { c.Image = bundle.FormerAgentRepository + ":v1" }), nobody},
		"a foreign image":  {agent(func(c *corev1.Container) { c.Image = "docker.io/library/busybox:1" }), thePolicy},
		"a similar image":  {agent(func(c *corev1.Container) { c.Image = bundle.AgentRepository + "-x:1" }), thePolicy},
		"pulled":           {agent(func(c *corev1.Container) { c.ImagePullPolicy = corev1.PullAlways }), thePolicy},
		"another command":  {agent(func(c *corev1.Container) { c.Command = []string{"/bin/sh"} }), thePolicy},
		"no command":       {agent(func(c *corev1.Container) { c.Command = nil }), thePolicy},
		"one more arg":     {agent(func(c *corev1.Container) { c.Args = append(c.Args, "--help") }), thePolicy},
		"other args":       {agent(func(c *corev1.Container) { c.Args = []string{"agent", "coordinate"} }), thePolicy},
		"an environment":   {agent(func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "A", Value: "b"}} }), "if a webhook adds to it, exempt ha-system"},
		"a lifecycle hook": {agent(func(c *corev1.Container) { c.Lifecycle = &corev1.Lifecycle{PostStart: hook()} }), thePolicy},
		"a probe": {agent(func(c *corev1.Container) {
			c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: hook().Exec}}
		}), thePolicy},
		"mounted elsewhere": {agent(func(c *corev1.Container) { c.VolumeMounts[0].MountPath = "/kubectl-ha" }), thePolicy},
		"another container": {pod(func(p *corev1.PodSpec) {
			p.Containers = append(p.Containers, *p.Containers[0].DeepCopy())
			p.Containers[1].Name = "other"
		}), thePolicy},
		"an init container": {pod(func(p *corev1.PodSpec) {
			p.InitContainers = []corev1.Container{{Name: "first", Image: testAgent}}
		}), thePolicy},
		"the host's files": {pod(func(p *corev1.PodSpec) {
			p.Volumes[0].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}
		}), thePolicy},
		"a volume more": {pod(func(p *corev1.PodSpec) {
			p.Volumes = append(p.Volumes, corev1.Volume{Name: "root", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		}), thePolicy},
		"another's Secret":  {pod(func(p *corev1.PodSpec) { p.Volumes[0].Secret.SecretName = "other" }), thePolicy},
		"a service account": {pod(func(p *corev1.PodSpec) { p.ServiceAccountName = "ha-coordinator" }), thePolicy},
		"a token":           {pod(func(p *corev1.PodSpec) { p.AutomountServiceAccountToken = &yes }), thePolicy},
		"on any node":       {pod(func(p *corev1.PodSpec) { p.NodeName = "" }), thePolicy},
		"again and again":   {func(j *batchv1.Job) { j.Spec.BackoffLimit = &three }, thePolicy},
		"many at once":      {func(j *batchv1.Job) { j.Spec.Parallelism = &three }, thePolicy},
		"for ever":          {func(j *batchv1.Job) { j.Spec.ActiveDeadlineSeconds = nil }, thePolicy},
		"another namespace": {func(j *batchv1.Job) { j.Namespace = "kube-system" }, theRole},
	} {
		h.tried("a node Job, "+what, h.job(like, c.change), c.by)
	}
}

func hook() *corev1.LifecycleHandler {
	return &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/bin/sh"}}}
}

// daemonSets tries the load balancer's and flannel's, as the coordinator applies them and changed.
func (h *held) daemonSets() {
	h.Helper()
	balancer, err := loadbalancer.Objects(h.cluster, &v1alpha1.LoadBalancerSpec{Type: "haproxy", Image: "example.com/haproxy:3", Port: 8443}, testAgent)
	if err != nil {
		h.Fatal(err)
	}
	flannel, err := join.NetworkObjects(h.cluster)
	if err != nil {
		h.Fatal(err)
	}
	for _, u := range append(balancer, flannel...) {
		h.tried(u.GetKind()+" "+u.GetName(), h.apply(u), nobody)
		if u.GetKind() != "DaemonSet" {
			continue
		}
		for what, change := range map[string]func(*appsv1.DaemonSet){
			"privileged": func(d *appsv1.DaemonSet) {
				yes, none := true, (*bool)(nil)
				c := &d.Spec.Template.Spec.Containers[0]
				c.SecurityContext = &corev1.SecurityContext{Privileged: &yes, AllowPrivilegeEscalation: none}
			},
			"with a capability": func(d *appsv1.DaemonSet) {
				d.Spec.Template.Spec.Containers[0].SecurityContext.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"SYS_ADMIN"}}
			},
			"with the host's processes": func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.HostPID = true },
			"with the host's files": func(d *appsv1.DaemonSet) {
				d.Spec.Template.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}
			},
			"with another command": func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.Containers[0].Command = []string{"/bin/sh"} },
			"with another account": func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.ServiceAccountName = "other" },
			"with a container more": func(d *appsv1.DaemonSet) {
				d.Spec.Template.Spec.InitContainers = append(d.Spec.Template.Spec.InitContainers, corev1.Container{Name: "x", Image: "x"})
			},
			"with a hook": func(d *appsv1.DaemonSet) {
				d.Spec.Template.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: hook()}
			},
		} {
			h.tried(u.GetName()+" "+what, h.apply(changed(h.T, u, change)), thePolicy)
		}
		other := u.DeepCopy()
		other.SetName("other")
		h.tried("a DaemonSet of another name in "+u.GetNamespace(), h.apply(other), theRole)
		other = u.DeepCopy()
		other.SetNamespace("default")
		h.tried(u.GetName()+" in another namespace", h.apply(other), theRole)
		if u.GetName() == "kube-flannel-ds" {
			h.tried("flannel's image from elsewhere", h.apply(changed(h.T, u, func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.InitContainers[0].Image = "elsewhere:1" })), thePolicy)
			h.tried("a newer flannel", h.apply(changed(h.T, u, func(d *appsv1.DaemonSet) {
				d.Spec.Template.Spec.Containers[0].Image = "ghcr.io/flannel-io/flannel:v9"
			})), nobody)
			continue
		}
		h.tried("the load balancer as root", h.apply(changed(h.T, u, func(d *appsv1.DaemonSet) {
			no, root := false, int64(0)
			d.Spec.Template.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: &no, RunAsUser: &root}
		})), thePolicy)
	}
}

// changed is a DaemonSet, changed.
func changed(t *testing.T, u *unstructured.Unstructured, change func(*appsv1.DaemonSet)) *unstructured.Unstructured {
	t.Helper()
	d := &appsv1.DaemonSet{}
	if err := apply.Typed(u, d); err != nil {
		t.Fatal(err)
	}
	change(d)
	out, err := apply.Untyped(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// patches tries changes of kubeadm's own.
func (h *held) patches() {
	h.Helper()
	for _, c := range []struct{ what, patch, by string }{
		{"an annotation", `{"metadata":{"annotations":{"a":"b"}}}`, nobody},
		{"its nodes", `{"spec":{"nodeSelector":{"a":"b"}}}`, nobody},
		{"its image", `{"spec":{"containers":[{"name":"NAME","image":"elsewhere:1"}]}}`, thePolicy},
		{"its command", `{"spec":{"containers":[{"name":"NAME","command":["/bin/sh"]}]}}`, thePolicy},
		{"a container more", `{"spec":{"containers":[{"name":"other","image":"elsewhere:1"}]}}`, thePolicy},
		{"an init container", `{"spec":{"initContainers":[{"name":"other","image":"elsewhere:1"}]}}`, thePolicy},
		{"the host's files", `{"spec":{"volumes":[{"name":"root","hostPath":{"path":"/"}}]}}`, thePolicy},
		{"the host's processes", `{"spec":{"hostPID":true}}`, thePolicy},
		{"its account", `{"spec":{"serviceAccountName":"other"}}`, thePolicy},
	} {
		patch := func(name string) []byte {
			return []byte(`{"spec":{"template":` + strings.ReplaceAll(c.patch, "NAME", name) + `}}`)
		}
		o := metav1.PatchOptions{DryRun: dry}
		_, err := h.c.Kube.AppsV1().DaemonSets("kube-system").Patch(h.Context(), "kube-proxy", types.StrategicMergePatchType, patch("kube-proxy"), o)
		h.tried("kube-proxy, "+c.what, err, c.by)
		_, err = h.c.Kube.AppsV1().Deployments("kube-system").Patch(h.Context(), "coredns", types.StrategicMergePatchType, patch("kube-dns"), o)
		h.tried("CoreDNS, "+c.what, err, c.by)
	}
}

// secrets: one may ask for a token of any service account of its namespace.
func (h *held) secrets() {
	h.Helper()
	for _, c := range []struct {
		namespace, name string
		kind            corev1.SecretType
		by              string
	}{
		{"ha-system", "request", corev1.SecretTypeOpaque, nobody},
		{"ha-system", "token", corev1.SecretTypeServiceAccountToken, thePolicy},
		{"ha-system", "scheduled-backup-target", corev1.SecretTypeOpaque, thePolicy},
		{"kube-system", "bootstrap-token-abcdef", corev1.SecretTypeBootstrapToken, nobody},
		{"kube-system", "bootstrap-token-abcdef", corev1.SecretTypeServiceAccountToken, thePolicy},
		{"kube-system", "other", corev1.SecretTypeOpaque, thePolicy},
		{"default", "other", corev1.SecretTypeOpaque, theRole},
	} {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: c.name, Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}}, Type: c.kind}
		_, err := h.c.Kube.CoreV1().Secrets(c.namespace).Create(h.Context(), s, metav1.CreateOptions{DryRun: dry})
		h.tried(fmt.Sprintf("secret %s/%s of type %s", c.namespace, c.name, c.kind), err, c.by)
	}
	for name, by := range map[string]string{"kubeadm-certs": nobody, "bootstrap-token-abcdef": nobody, "other": thePolicy} {
		api := h.admin.Kube.CoreV1().Secrets("kube-system")
		if _, err := api.Create(h.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			h.Fatal(err)
		}
		h.tried("to delete "+name, h.c.Kube.CoreV1().Secrets("kube-system").Delete(h.Context(), name, metav1.DeleteOptions{DryRun: dry}), by)
	}
}

// events: it tells of Operations, in its own name.
func (h *held) events() {
	h.Helper()
	for what, c := range map[string]struct {
		change func(*eventsv1.Event)
		by     string
	}{
		"as it is":                 {func(*eventsv1.Event) {}, nobody},
		"about a node":             {func(e *eventsv1.Event) { e.Regarding.Kind, e.Regarding.APIVersion = "Node", "v1" }, thePolicy},
		"about nothing":            {func(e *eventsv1.Event) { e.Regarding = corev1.ObjectReference{} }, thePolicy},
		"about another's type":     {func(e *eventsv1.Event) { e.Regarding.APIVersion = "example.com/v1" }, thePolicy},
		"in the name of a kubelet": {func(e *eventsv1.Event) { e.ReportingController = "kubelet" }, thePolicy},
		"about the scheduled renewal": {func(e *eventsv1.Event) {
			e.Namespace, e.Regarding = "ha-system", corev1.ObjectReference{APIVersion: "batch/v1", Kind: "CronJob", Namespace: "ha-system", Name: "certificate-renewal"}
		}, nobody},
		"about the scheduled backup": {func(e *eventsv1.Event) {
			e.Namespace, e.Regarding = "ha-system", corev1.ObjectReference{APIVersion: "batch/v1", Kind: "CronJob", Namespace: "ha-system", Name: "scheduled-backup"}
		}, nobody},
		"about another CronJob": {func(e *eventsv1.Event) {
			e.Namespace, e.Regarding = "ha-system", corev1.ObjectReference{APIVersion: "batch/v1", Kind: "CronJob", Namespace: "ha-system", Name: "other"}
		}, thePolicy},
		"in another namespace": {func(e *eventsv1.Event) { e.Namespace, e.Regarding.Namespace = "kube-system", "kube-system" }, theRole},
	} {
		e := &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Name: "tried", Namespace: "default"}, EventTime: metav1.NowMicro(), Type: "Normal", Reason: "Started", Action: "Start",
			ReportingController: "kubectl-ha.dev/coordinator", ReportingInstance: "test", Regarding: corev1.ObjectReference{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.OperationKind, Name: "x"}}
		c.change(e)
		_, err := h.c.Kube.EventsV1().Events(e.Namespace).Create(h.Context(), e, metav1.CreateOptions{DryRun: dry})
		h.tried("an Event, "+what, err, c.by)
	}
}

// roles: what the coordinator may do it may pass on to nobody.
func (h *held) roles() {
	h.Helper()
	role := func(name string, rules ...rbacv1.PolicyRule) any {
		return &rbacv1.ClusterRole{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"}, ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
	}
	binding := func(name, to string, subject rbacv1.Subject) any {
		return &rbacv1.ClusterRoleBinding{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding"}, ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: to}, Subjects: []rbacv1.Subject{subject}}
	}
	// One that is there can't be bound to another role; it can be deleted.
	lists := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"list"}}
	if err := h.apply(h.untyped(role("ha-loadbalancer", lists))); err != nil {
		h.Fatal(err)
	}
	balancer := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "ha-loadbalancer", Namespace: "ha-system"}
	for what, c := range map[string]struct {
		object any
		by     string
	}{
		"the load balancer's role":                                    {role("ha-loadbalancer", lists), nobody},
		"the load balancer's role, with a right of the coordinator's": {role("ha-loadbalancer", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"delete"}}), thePolicy},
		"the load balancer's role, with Secrets":                      {role("ha-loadbalancer", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}), theGrant},
		"a role of another name":                                      {role("other"), theRole},
		"the coordinator's role":                                      {role("ha-coordinator"), theRole},
		"the load balancer's binding, to everybody":                   {binding("ha-loadbalancer", "ha-loadbalancer", rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:authenticated"}), thePolicy},
		"the coordinator's role, for the load balancer":               {binding("ha-loadbalancer", "ha-coordinator", balancer), thePolicy},
		"an administrator":                                            {binding("ha-loadbalancer", "cluster-admin", balancer), theGrant},
		"a binding of another name":                                   {binding("other", "ha-loadbalancer", balancer), theRole},
	} {
		h.tried(what, h.apply(h.untyped(c.object)), c.by)
	}
}

func (h *held) untyped(object any) *unstructured.Unstructured {
	h.Helper()
	u, err := apply.Untyped(object)
	if err != nil {
		h.Fatal(err)
	}
	return u
}

// others are what neither is asked for.
func (h *held) others() {
	h.Helper()
	_, err := h.c.Kube.CoreV1().Pods("ha-system").Create(h.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: testAgent}}}}, metav1.CreateOptions{DryRun: dry})
	h.tried("a pod", err, theRole)
	err = h.c.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicies().Delete(h.Context(), policy.Name, metav1.DeleteOptions{DryRun: dry})
	h.tried("to delete the policy", err, theRole)
}

// whileLent: an Operation with the rights of an administrator applies what others have written.
func (h *held) whileLent() {
	h.Helper()
	op := &v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "addon-x", UID: "1"}}
	if err := lent.Lend(h.Context(), h.admin.Kube, op); err != nil {
		h.Fatal(err)
	}
	foreign := func() error {
		return h.job(h.nodeJob(), func(j *batchv1.Job) { j.Spec.Template.Spec.Containers[0].Image = "elsewhere:1" })
	}
	// The authorizer takes a moment as well, in both directions.
	h.until("the lent rights to be in force", foreign)
	if err := lent.GiveBack(h.Context(), h.c.Kube, op.Name); err != nil {
		h.Fatal(err)
	}
	h.until("the policy to be in force again", func() error {
		if err := foreign(); err == nil || !strings.Contains(err.Error(), thePolicy) {
			return fmt.Errorf("a foreign image: %v", err)
		}
		return nil
	})
	// Once more is no error: what is gone is looked for.
	if err := lent.GiveBack(h.Context(), h.c.Kube, op.Name); err != nil {
		h.Error(err)
	}
}

// TestNarrowedRole: what an earlier version has given, and somebody has added, is taken away.
func TestNarrowedRole(t *testing.T) {
	s, f := start(t)
	f.create()
	admin, err := client.New(s.Config)
	f.must(err)
	earlier, err := apply.Untyped(&rbacv1.ClusterRole{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"}, ObjectMeta: metav1.ObjectMeta{Name: "ha-coordinator"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"apps"}, Resources: []string{"daemonsets", "deployments"}, Verbs: []string{"get", "list", "watch", "create", "patch"}},
			{APIGroups: []string{""}, Resources: []string{"namespaces", "serviceaccounts", "configmaps"}, Verbs: []string{"get", "create", "patch", "update"}},
			{APIGroups: []string{"rbac.authorization.k8s.io"}, Resources: []string{"clusterroles", "clusterrolebindings"}, Verbs: []string{"get", "create", "patch"}},
		}})
	f.must(err)
	_, err = apply.Apply(t.Context(), admin, []*unstructured.Unstructured{earlier}, apply.Options{Force: true})
	f.must(err)
	_, err = admin.Kube.RbacV1().ClusterRoles().Patch(t.Context(), "ha-coordinator", types.JSONPatchType,
		[]byte(`[{"op":"add","path":"/rules/-","value":{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}}]`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	f.must(err)
	_, err = incluster.Install(t.Context(), s.Config, f.c)
	f.must(err)
	for _, c := range []struct {
		verb, group, resource, namespace, name string
		may                                    bool
	}{
		{"create", "apps", "daemonsets", "default", "", false},
		{"create", "apps", "daemonsets", "ha-system", "other", false},
		{"create", "apps", "daemonsets", "ha-system", "ha-loadbalancer", true},
		{"create", "apps", "daemonsets", "kube-flannel", "kube-flannel-ds", true},
		{"patch", "apps", "daemonsets", "kube-system", "kube-proxy", true},
		{"patch", "apps", "daemonsets", "kube-system", "cilium", false},
		{"get", "apps", "daemonsets", "default", "any", true},
		{"patch", "apps", "deployments", "kube-system", "coredns", true},
		{"patch", "apps", "deployments", "default", "any", false},
		{"get", "", "configmaps", "default", "any", false},
		{"update", "", "configmaps", "ha-system", "cluster", true},
		{"update", "", "configmaps", "kube-system", "kubeadm-config", true},
		{"update", "", "configmaps", "kube-system", "extension-apiserver-authentication", false},
		{"update", "", "configmaps", "kube-public", "cluster-info", true},
		{"get", "", "secrets", "default", "any", false},
		{"list", "", "secrets", "kube-system", "", false},
		{"create", "", "serviceaccounts", "kube-system", "any", false},
		{"create", "", "namespaces", "", "kube-flannel", true},
		{"patch", "", "namespaces", "", "default", false},
		{"patch", "rbac.authorization.k8s.io", "clusterroles", "", "flannel", true},
		{"patch", "rbac.authorization.k8s.io", "clusterroles", "", "any", false},
		{"create", "rbac.authorization.k8s.io", "clusterrolebindings", "", "any", false},
		{"bind", "rbac.authorization.k8s.io", "clusterroles", "", "ha-loadbalancer", false},
		{"escalate", "rbac.authorization.k8s.io", "clusterroles", "", "ha-loadbalancer", false},
		{"list", "coordination.k8s.io", "leases", "kube-node-lease", "", true},
		// Events about Operations are where those are about what has no namespace.
		{"create", "events.k8s.io", "events", "default", "", true},
		{"patch", "events.k8s.io", "events", "default", "any", false},
		{"list", "events.k8s.io", "events", "default", "", false},
		{"create", "events.k8s.io", "events", "kube-system", "", false},
		{"create", "", "events", "default", "", false},
		{"list", "coordination.k8s.io", "leases", "kube-system", "", false},
		// Schedules create their Operations themselves; the policy says which they take away.
		{"create", "kubectl-ha.dev", "operations", "", "", true},
		{"delete", "kubectl-ha.dev", "operations", "", "any", true},
		{"deletecollection", "kubectl-ha.dev", "operations", "", "", false},
		{"get", "batch", "cronjobs", "ha-system", "certificate-renewal", true},
		{"get", "batch", "cronjobs", "ha-system", "scheduled-backup", true},
		{"patch", "batch", "cronjobs", "ha-system", "scheduled-backup", false},
		{"patch", "batch", "cronjobs", "ha-system", "certificate-renewal", false},
		{"create", "batch", "cronjobs", "ha-system", "", false},
		{"create", "events.k8s.io", "events", "ha-system", "", true},
		{"create", "", "pods/eviction", "default", "any", true},
		{"delete", "", "pods", "default", "any", true},
		{"create", "", "pods", "ha-system", "any", false},
		{"create", "", "pods/exec", "ha-system", "any", false},
		{"create", "", "serviceaccounts/token", "ha-system", "ha-coordinator", false},
		{"delete", "", "nodes", "", "any", true},
		{"get", "rbac.authorization.k8s.io", "clusterrolebindings", "", "any", true},
		// The load balancer goes as it came.
		{"delete", "apps", "daemonsets", "ha-system", "ha-loadbalancer", true},
		{"delete", "", "configmaps", "ha-system", "ha-loadbalancer", true},
		{"delete", "", "configmaps", "ha-system", "cluster", false},
		{"delete", "", "serviceaccounts", "ha-system", "ha-loadbalancer", true},
		{"delete", "", "serviceaccounts", "ha-system", "ha-coordinator", false},
		{"delete", "rbac.authorization.k8s.io", "clusterroles", "", "ha-loadbalancer", true},
		{"delete", "rbac.authorization.k8s.io", "clusterrolebindings", "", "ha-loadbalancer", true},
		{"delete", "rbac.authorization.k8s.io", "clusterroles", "", "flannel", false},
		{"delete", "admissionregistration.k8s.io", "validatingadmissionpolicies", "", "ha-coordinator", false},
	} {
		resource, sub, _ := strings.Cut(c.resource, "/")
		review, err := admin.Kube.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: coordinatorUser, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: c.verb, Group: c.group, Resource: resource, Subresource: sub, Namespace: c.namespace, Name: c.name},
		}}, metav1.CreateOptions{})
		f.must(err)
		if review.Status.Allowed != c.may {
			t.Errorf("%s %s %s/%s: allowed is %v: %s", c.verb, c.resource, c.namespace, c.name, review.Status.Allowed, review.Status.Reason)
		}
	}
}

// TestPolicyIsLookedAt: a cluster without the policy, or with another, is told from one with
// this version's.
func TestPolicyIsLookedAt(t *testing.T) {
	s, f := start(t)
	look := func() (string, bool) {
		t.Helper()
		what, inForce, err := policy.Look(t.Context(), f.kube)
		f.must(err)
		return what, inForce
	}
	if what, inForce := look(); inForce || !strings.Contains(what, "is not there") {
		t.Errorf("none: %q", what)
	}
	_, err := incluster.Install(t.Context(), s.Config, f.c)
	f.must(err)
	if what, inForce := look(); !inForce || what != "" {
		t.Errorf("as installed: %q", what)
	}
	api := f.kube.AdmissionregistrationV1()
	patch := func(text string) {
		t.Helper()
		_, err := api.ValidatingAdmissionPolicies().Patch(t.Context(), policy.Name, types.MergePatchType, []byte(text), metav1.PatchOptions{})
		f.must(err)
	}
	patch(`{"spec":{"failurePolicy":"Ignore"}}`)
	if what, inForce := look(); !inForce || !strings.Contains(what, "not this version's") {
		t.Errorf("changed: %q", what)
	}
	changed, err := incluster.Install(t.Context(), s.Config, f.c)
	f.must(err)
	if what, _ := look(); what != "" || len(changed) != 1 {
		t.Errorf("installed again: %q, %v", what, changed)
	}
	_, err = api.ValidatingAdmissionPolicyBindings().Patch(t.Context(), policy.Name, types.MergePatchType, []byte(`{"spec":{"validationActions":["Audit"]}}`), metav1.PatchOptions{})
	f.must(err)
	if what, inForce := look(); inForce || !strings.Contains(what, "not bound") {
		t.Errorf("bound otherwise: %q", what)
	}
	f.must(api.ValidatingAdmissionPolicyBindings().Delete(t.Context(), policy.Name, metav1.DeleteOptions{}))
	if what, inForce := look(); inForce || !strings.Contains(what, "no binding") {
		t.Errorf("not bound: %q", what)
	}
}

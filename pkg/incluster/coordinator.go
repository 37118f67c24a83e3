package incluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	addons "github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/convert"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/join"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/members"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/repair"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/rotateca"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/job"
)

const (
	// reachTimeout bounds a new coordinator's wait for the API.
	reachTimeout = 5 * time.Minute
	// jobGoneTimeout bounds the wait for an ended coordinator's Job to be gone.
	jobGoneTimeout = 30 * time.Second
)

// definitions are the types of Operations that this program knows.
func definitions() map[v1alpha1.OperationType]engine.Definition {
	return map[v1alpha1.OperationType]engine.Definition{
		v1alpha1.OperationJoin:         join.Definition(),
		v1alpha1.OperationLoadBalancer: loadbalancer.Definition(),

		v1alpha1.OperationRemoveLoadBalancer: loadbalancer.RemoveDefinition(),
		v1alpha1.OperationImages:             images.Definition(),
		v1alpha1.OperationPruneImages:        images.PruneDefinition(),
		v1alpha1.OperationUpgrade:            upgrade.Definition(),
		v1alpha1.OperationAddon:              addons.Definition(),
		v1alpha1.OperationRollbackNode:       upgrade.RollbackDefinition(),
		v1alpha1.OperationAddNode:            nodes.AddDefinition(),
		v1alpha1.OperationRemoveNode:         nodes.RemoveDefinition(),
		v1alpha1.OperationRepair:             repair.Definition(),
		v1alpha1.OperationRenewCertificates:  certs.Definition(),
		v1alpha1.OperationRotateAuthority:    rotateca.Definition(),
		v1alpha1.OperationEtcd:               members.Definition(),
		v1alpha1.OperationBackup:             backups.Definition(),
		v1alpha1.OperationConvert:            convert.Definition(),
	}
}

// CoordinateOptions say what a coordinator is for.
type CoordinateOptions struct {
	// Operation is its name.
	Operation string
	// Identity is the pod's name.
	Identity string
	// AgentImage is the image that the coordinator itself runs. The node Jobs run that too,
	// but for nodes for which the Operation names another one of the same agents.
	AgentImage string
	// Sink takes what happens, for the pod's log.
	Sink report.Sink
}

// Coordinate is what the coordinator's pod does: it carries the Operation out
// to its end. How it ended is in the Operation's status; an error means that
// the pod should be started again.
func Coordinate(ctx context.Context, config *rest.Config, o CoordinateOptions) error {
	clients, err := client.New(config)
	if err != nil {
		return err
	}
	times := engine.DefaultLeaseTimes()
	leases, err := client.LeaseClient(config, times.RequestTimeout())
	if err != nil {
		return err
	}
	var cluster *v1alpha1.Cluster
	var agents v1alpha1.Agents
	waited := wait.PollUntilContextTimeout(ctx, time.Second, reachTimeout, true, func(ctx context.Context) (bool, error) {
		if cluster, err = StoredCluster(ctx, clients.Kube); err == nil {
			agents, err = agentsFor(ctx, operations.New(clients.Dynamic), o)
		}
		return err == nil, nil // Reading is repeated; the last error is reported below.
	})
	if waited != nil {
		return fmt.Errorf("coordinate %s: %w", o.Operation, errors.Join(context.Cause(ctx), err))
	}
	if err := checkSelf(agents); err != nil {
		return fmt.Errorf("coordinate %s: %w", o.Operation, err)
	}
	claim := func(ctx context.Context, operation string) error {
		return operations.New(clients.Dynamic).Claim(ctx, clients.Kube, operation)
	}
	return engine.Coordinate(ctx, engine.Config{
		Claim:   claim,
		Clients: clients, LeaseClient: leases, Operation: o.Operation, Identity: o.Identity,
		Cluster: cluster, Definitions: definitions(), Sink: o.Sink, Lease: times,
		Runner: func(j engine.Job) transport.Runner {
			return job.Runner{Kube: clients.Kube, Name: j.Name, Owner: &j.Owner, Agents: agents, LostAfter: j.LostAfter}
		},
	})
}

// agentsFor are the agents of the Operation, of which this coordinator is one. One that is
// gone is the engine's matter.
func agentsFor(ctx context.Context, ops *operations.Client, o CoordinateOptions) (v1alpha1.Agents, error) {
	op, err := ops.Get(ctx, o.Operation)
	if apierrors.IsNotFound(err) {
		return v1alpha1.Agents{{Image: o.AgentImage}}, nil
	}
	if err != nil {
		return nil, err
	}
	agents, err := op.Agents()
	return agents.Matching(o.AgentImage), err
}

// checkSelf is an error when this is not the program that the Operation names.
func checkSelf(agents v1alpha1.Agents) error {
	if len(agents) == 0 {
		return nil
	}
	err := node.CheckProgram("", agents[0].SHA256)
	if hint := host.Hint(err); hint != "" {
		return fmt.Errorf("%w\nnext: %s", err, hint)
	}
	return err
}

// coordinatorJobName names the Job that carries an Operation out.
func coordinatorJobName(operation string) string { return operation + "-coordinator" }

// coordinatorJob is the Job for an Operation: a coordinator and a standby. The API is reached through the
// stable endpoint, since there may be no pod network and no kube-proxy yet.
func coordinatorJob(op *v1alpha1.Operation, c *v1alpha1.Cluster, agents v1alpha1.Agents) (*batchv1.Job, error) {
	j := &batchv1.Job{}
	if err := apply.LoadTyped(manifests.FS, manifests.CoordinatorJob, j); err != nil {
		return nil, err
	}
	j.Name = coordinatorJobName(op.Name)
	j.OwnerReferences = []metav1.OwnerReference{operations.Owner(op)}
	pod := &j.Spec.Template.Spec
	pod.Affinity.NodeAffinity = nodeAffinity(worked(op), agents)
	main := &pod.Containers[0]
	main.Image = agents.Image()
	// Agents of all versions take these.
	main.Args = append(main.Args, "--operation", op.Name, "--agent-image", main.Image)
	at := c
	if op.Spec.Convert != nil {
		at = convert.Lasting(c, op.Spec.Convert)
	}
	main.Env = append(main.Env, APIEnv(at)...)
	return j, nil
}

// APIEnv is where a pod finds the API: at its stable endpoint. Where that is each host's own
// it is left to the kubelet, which names the service of the API.
// https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/#directly-accessing-the-rest-api
func APIEnv(c *v1alpha1.Cluster) []corev1.EnvVar {
	if c.EndpointIsLocal() {
		return nil
	}
	names := APIEnvNames()
	return []corev1.EnvVar{
		{Name: names[0], Value: c.EndpointHost()},
		{Name: names[1], Value: strconv.Itoa(int(c.EndpointPort()))},
	}
}

// APIEnvNames are the names of APIEnv's variables.
func APIEnvNames() []string { return []string{"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"} }

// worked are the nodes that an Operation changes most: a coordinator should rather not be
// on one.
func worked(op *v1alpha1.Operation) []string {
	if op.Spec.Join != nil {
		return op.Spec.Join.ControlPlanes
	}
	if op.Spec.RemoveNode != nil && op.Spec.RemoveNode.Node != "" {
		return []string{op.Spec.RemoveNode.Node}
	}
	return nil
}

// controlPlaneLabel is kubeadm's, of control planes.
const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

// OnControlPlanes keeps pods that have a coordinator's token on control planes, of the architecture
// that the first agent is for.
func OnControlPlanes(agents v1alpha1.Agents) *corev1.NodeAffinity { return nodeAffinity(nil, agents) }

// nodeAffinity keeps coordinators on control planes, and there away from the nodes that are
// worked on. A coordinator's token is as good as root on every host, and a node's kubelet can
// have it: on a control plane that is nothing new. Of several architectures they are on the one
// that their image is for. No kubelet may give itself that label
// (https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction).
func nodeAffinity(worked []string, agents v1alpha1.Agents) *corev1.NodeAffinity {
	a := &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
			Key: controlPlaneLabel, Operator: corev1.NodeSelectorOpExists,
		}}}},
	}}
	if len(agents) > 1 {
		term := &a.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0]
		term.MatchExpressions = append(term.MatchExpressions, corev1.NodeSelectorRequirement{
			Key: corev1.LabelArchStable, Operator: corev1.NodeSelectorOpIn, Values: []string{agents[0].Arch},
		})
	}
	if len(worked) > 0 {
		// By the nodes' names: their label kubernetes.io/hostname may be another on clusters that
		// were adopted. Such a requirement takes one name.
		var away []corev1.NodeSelectorRequirement
		for _, name := range worked {
			away = append(away, corev1.NodeSelectorRequirement{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpNotIn, Values: []string{name}})
		}
		a.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.PreferredSchedulingTerm{{
			Weight: 100, Preference: corev1.NodeSelectorTerm{MatchFields: away},
		}}
	}
	return a
}

// ensureCoordinator creates the coordinators' Job; one that has ended makes way
// for a new one, one that has not is left to do its work.
func ensureCoordinator(ctx context.Context, kube kubernetes.Interface, op *v1alpha1.Operation, c *v1alpha1.Cluster, agents v1alpha1.Agents) error {
	want, err := coordinatorJob(op, c, agents)
	if err != nil {
		return err
	}
	jobs := kube.BatchV1().Jobs(v1alpha1.SystemNamespace)
	have, err := jobs.Get(ctx, want.Name, metav1.GetOptions{})
	switch {
	case err == nil && have.DeletionTimestamp == nil && !jobEnded(have):
		return nil
	case err == nil:
		if err := removeJob(ctx, kube, have); err != nil {
			return err
		}
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("read job %s: %w", want.Name, err)
	}
	if _, err := jobs.Create(ctx, want, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create the coordinator's job %s: %w", want.Name, err)
	}
	return nil
}

// endCoordinators removes the Job of an Operation that has failed, if it is still
// there. Its coordinators are done, or about to be: a Job of which one has yet to
// exit must not be taken for one at work.
func endCoordinators(ctx context.Context, kube kubernetes.Interface, operation string) error {
	name := coordinatorJobName(operation)
	j, err := kube.BatchV1().Jobs(v1alpha1.SystemNamespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("read job %s: %w", name, err)
	}
	return removeJob(ctx, kube, j)
}

func removeJob(ctx context.Context, kube kubernetes.Interface, j *batchv1.Job) error {
	jobs := kube.BatchV1().Jobs(v1alpha1.SystemNamespace)
	background := metav1.DeletePropagationBackground
	err := jobs.Delete(ctx, j.Name, metav1.DeleteOptions{PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &j.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the ended coordinator's job %s: %w", j.Name, err)
	}
	err = wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, jobGoneTimeout, true, func(ctx context.Context) (bool, error) {
		_, err := jobs.Get(ctx, j.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
	if err != nil {
		return fmt.Errorf("the ended coordinator's job %s is still there after %s: %w", j.Name, jobGoneTimeout, err)
	}
	return nil
}

// jobEnded tells whether a coordinator's Job does nothing more. It is as good as
// ended from when that is decided: it is complete only when all its pods are
// gone, which those on a dead node may never be.
func jobEnded(j *batchv1.Job) bool {
	return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobFailed, batchv1.JobSuccessCriteriaMet, batchv1.JobFailureTarget:
			return c.Status == corev1.ConditionTrue
		}
		return false
	})
}

package adopt

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Admission is what is asked about the pods of the namespace ha-system, or bounds them.
type Admission struct {
	// FailClosed are webhooks, CONFIGURATION/WEBHOOK, that refuse a pod or Job there while nobody
	// answers for them.
	FailClosed []string
	// Policies are ValidatingAdmissionPolicies of others that are about pods or Jobs there.
	Policies []string
	// Enforced is the pod security level of the namespace, where it is there and has one.
	Enforced string
	// Network are NetworkPolicies in it, Quotas the ResourceQuotas.
	Network, Quotas []string
}

func (o *Observation) admission(ctx context.Context, kube kubernetes.Interface) error {
	ns, err := kube.CoreV1().Namespaces().Get(ctx, v1alpha1.SystemNamespace, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("read the namespace %s: %w", v1alpha1.SystemNamespace, err)
	}
	have := labels.Set{corev1.LabelMetadataName: v1alpha1.SystemNamespace}
	if err == nil {
		o.Admission.Enforced = ns.Labels["pod-security.kubernetes.io/enforce"]
		have = labels.Merge(ns.Labels, have)
	}
	if err := o.webhooks(ctx, kube, have); err != nil {
		return err
	}
	policies, err := kube.AdmissionregistrationV1().ValidatingAdmissionPolicies().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the admission policies: %w", err)
	}
	for _, p := range policies.Items {
		m := p.Spec.MatchConstraints
		if m == nil || strings.HasPrefix(p.Name, "ha-coordinator") || !applies(m.NamespaceSelector, have) {
			continue
		}
		if slices.ContainsFunc(m.ResourceRules, func(r admissionv1.NamedRuleWithOperations) bool { return aboutPods(r.RuleWithOperations) }) {
			o.Admission.Policies = append(o.Admission.Policies, p.Name)
		}
	}
	network, err := kube.NetworkingV1().NetworkPolicies(v1alpha1.SystemNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the network policies in %s: %w", v1alpha1.SystemNamespace, err)
	}
	for _, p := range network.Items {
		o.Admission.Network = append(o.Admission.Network, p.Name)
	}
	quotas, err := kube.CoreV1().ResourceQuotas(v1alpha1.SystemNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the quotas in %s: %w", v1alpha1.SystemNamespace, err)
	}
	for _, q := range quotas.Items {
		o.Admission.Quotas = append(o.Admission.Quotas, q.Name)
	}
	return nil
}

// webhooks reads both kinds of them.
func (o *Observation) webhooks(ctx context.Context, kube kubernetes.Interface, have labels.Set) error {
	note := func(config, name string, policy *admissionv1.FailurePolicyType, namespaces *metav1.LabelSelector, rules []admissionv1.RuleWithOperations) {
		// The default is to fail.
		if (policy == nil || *policy == admissionv1.Fail) && applies(namespaces, have) && slices.ContainsFunc(rules, aboutPods) {
			o.Admission.FailClosed = append(o.Admission.FailClosed, config+"/"+name)
		}
	}
	validating, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the validating webhooks: %w", err)
	}
	for _, c := range validating.Items {
		for _, w := range c.Webhooks {
			note(c.Name, w.Name, w.FailurePolicy, w.NamespaceSelector, w.Rules)
		}
	}
	mutating, err := kube.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the mutating webhooks: %w", err)
	}
	for _, c := range mutating.Items {
		for _, w := range c.Webhooks {
			note(c.Name, w.Name, w.FailurePolicy, w.NamespaceSelector, w.Rules)
		}
	}
	return nil
}

// applies tells whether a selector of namespaces takes ours. One that can't be read takes it.
func applies(s *metav1.LabelSelector, have labels.Set) bool {
	if s == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err != nil || selector.Matches(have)
}

// aboutPods tells whether a rule is about new pods or Jobs.
func aboutPods(r admissionv1.RuleWithOperations) bool {
	if !slices.Contains(r.Operations, admissionv1.Create) && !slices.Contains(r.Operations, admissionv1.OperationAll) {
		return false
	}
	for group, resource := range map[string]string{"": "pods", "batch": "jobs"} {
		if (slices.Contains(r.APIGroups, group) || slices.Contains(r.APIGroups, "*")) &&
			(slices.Contains(r.Resources, resource) || slices.Contains(r.Resources, "*") || slices.Contains(r.Resources, "*/*")) {
			return true
		}
	}
	return false
}

// hinder are what may keep a Job of kubectl-ha's from starting, found before the first one. It is pure.
func (o Observation) hinder() []report.Finding {
	var out []report.Finding
	add := func(severity report.Severity, hint, format string, args ...any) {
		out = append(out, report.Finding{Check: checkAdmission, Severity: severity, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	for _, node := range sorted(o.Flags) {
		if plugins := flagOf(o.Flags[node], "enable-admission-plugins"); slices.Contains(strings.Split(plugins, ","), "AlwaysPullImages") {
			add(report.SeverityError, "take it out of --enable-admission-plugins in kubeadm's configuration and in /etc/kubernetes/manifests/kube-apiserver.yaml of each control plane; or leave everything to status and doctor --quick, which need no Job",
				"the apiservers have every image pulled (AlwaysPullImages): the agent's image is in no registry, so that no Job would start")
			break
		}
	}
	a := o.Admission
	exempt := fmt.Sprintf("exempt the namespace %s: a namespaceSelector with %s NotIn [%s]", v1alpha1.SystemNamespace, corev1.LabelMetadataName, v1alpha1.SystemNamespace)
	if len(a.FailClosed) > 0 {
		add(report.SeverityWarning, exempt, "admission webhooks are asked about kubectl ha's pods and refuse them when nobody answers, as in an upgrade: %s", strings.Join(a.FailClosed, ", "))
	}
	if len(a.Policies) > 0 {
		add(report.SeverityWarning, exempt+", in each of them, if it refuses pods with host namespaces or privileges",
			"admission policies of others are about kubectl ha's pods: %s", strings.Join(a.Policies, ", "))
	}
	if a.Enforced != "" && a.Enforced != "privileged" {
		add(report.SeverityWarning, "see who has made it; kubectl ha's Jobs have to enter their hosts",
			"the namespace %s is there, with the pod security level %s: adopt sets privileged", v1alpha1.SystemNamespace, a.Enforced)
	}
	if len(a.Network) > 0 {
		add(report.SeverityWarning, "let its pods reach the API, and each other, or delete them", "network policies are in the namespace %s: %s", v1alpha1.SystemNamespace, strings.Join(a.Network, ", "))
	}
	if len(a.Quotas) > 0 {
		add(report.SeverityWarning, "delete them, or give them room for a Job on each node and two coordinators", "quotas are in the namespace %s: %s", v1alpha1.SystemNamespace, strings.Join(a.Quotas, ", "))
	}
	return out
}

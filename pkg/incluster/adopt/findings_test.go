package adopt

import (
	"errors"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/survey"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TestFindings: what is others' is told once, by what it is; a plain cluster has nothing to tell.
func TestFindings(t *testing.T) {
	flags := func(node string, args ...string) func(*Observation) {
		return func(o *Observation) { o.Flags[node] = append(o.Flags[node], args...) }
	}
	host := func(f survey.Facts) func(*Observation) {
		return func(o *Observation) { o.Hosts = map[string]survey.Facts{"m1": f} }
	}
	for name, tt := range map[string]struct {
		edit     func(*Observation)
		severity report.Severity
		check    string
		want     string
	}{
		"plain": {edit: func(*Observation) {}},
		"keepalived that checks": {host(survey.Facts{Keepalived: &survey.Keepalived{RouterID: 77, Interface: "eth0", Addresses: []string{"192.0.2.100"}, Checks: true}}),
			SeverityInfo, checkKeeper, "keeps 192.0.2.100 on eth0, as router 77; its settings are kept"},
		"keepalived without a check": {host(survey.Facts{Keepalived: &survey.Keepalived{RouterID: 77}}), report.SeverityWarning, checkKeeper, "does not notice"},
		"haproxy":                    {func(o *Observation) { o.Static = map[string][]StaticPod{"m1": {{"haproxy", "haproxy:3"}}} }, SeverityInfo, checkKeeper, "haproxy is a static pod (haproxy:3)"},
		"a leader election":          {func(o *Observation) { o.Leases = []string{"kube-scheduler", "plndr-cp-lock"} }, SeverityInfo, checkKeeper, "kube-vip"},
		"audit logs":                 {func(o *Observation) { flags("m1", "--audit-log-path=/x")(o); flags("m2", "--audit-log-path=/x")(o) }, SeverityInfo, checkSettings, "audit logs"},
		"encryption on one":          {flags("m1", "--encryption-provider-config=/x"), report.SeverityWarning, checkSettings, "only the apiservers of m1 have settings for encryption"},
		"OIDC":                       {func(o *Observation) { flags("m1", "--oidc-issuer-url=x")(o); flags("m2", "--oidc-issuer-url=x")(o) }, SeverityInfo, checkSettings, "OIDC"},
		"Windows":                    {func(o *Observation) { o.Nodes[0].Labels[corev1.LabelOSStable] = "windows" }, report.SeverityWarning, checkHosts, "leaves it alone"},
		"another label":              {func(o *Observation) { o.Nodes[0].Labels[corev1.LabelHostname] = "ip-192-0-2-9" }, SeverityInfo, checkHosts, "kubernetes.io/hostname is ip-192-0-2-9"},
		"another host name":          {host(survey.Facts{HostName: "ip-192-0-2-1"}), SeverityInfo, checkHosts, "calls itself ip-192-0-2-1"},
		"the same host name":         {edit: host(survey.Facts{HostName: "m1", ContainerdConfig: 3, CgroupDriver: "systemd"})},
		"containerd 1":               {host(survey.Facts{ContainerdConfig: 2}), SeverityInfo, checkHosts, "version 2; it is kept"},
		"a packaged kubelet":         {host(survey.Facts{Kubelet: "/usr/bin/kubelet"}), report.SeverityWarning, checkHosts, "refuses this host"},
		"its own kubelet":            {edit: host(survey.Facts{Kubelet: "/usr/local/bin/kubelet"})},
		"an old containerd":          {func(o *Observation) { o.Nodes[0].Status.NodeInfo.ContainerRuntimeVersion = "containerd://1.7.24" }, report.SeverityWarning, checkVersions, "the last that goes with containerd 1"},
		"cgroupfs":                   {host(survey.Facts{CgroupDriver: "cgroupfs"}), SeverityInfo, checkHosts, "cgroupfs"},
		"not read":                   {host(survey.Facts{Missed: []string{"/x: denied"}}), report.SeverityWarning, checkHosts, "/x: denied"},
		"not asked":                  {func(o *Observation) { o.Unasked = map[string]string{"m2": "no route"} }, report.SeverityWarning, checkHosts, "could not be asked: no route"},
		"mixed versions":             {func(o *Observation) { o.Nodes[0].Status.NodeInfo.KubeletVersion = "v1.34.4" }, report.SeverityWarning, checkVersions, "v1.34.4 on a-worker; v1.35.4 on m1, m2, m3"},
		"too old a kubelet":          {func(o *Observation) { o.Nodes[0].Status.NodeInfo.KubeletVersion = "v1.31.0" }, report.SeverityError, checkVersions, "more than 3 minor versions older"},
		"too new a kubelet":          {func(o *Observation) { o.Nodes[0].Status.NodeInfo.KubeletVersion = "v1.36.0" }, report.SeverityError, checkVersions, "newer than kubeadm"},
		"two control planes":         {func(o *Observation) { o.Nodes = o.Nodes[:3] }, report.SeverityWarning, checkHosts, "the number of control planes is 2"},
		"AlwaysPullImages":           {flags("m2", "--enable-admission-plugins=NodeRestriction,AlwaysPullImages"), report.SeverityError, checkAdmission, "no Job would start"},
		"no AlwaysPullImages":        {edit: flags("m2", "--enable-admission-plugins=NodeRestriction")},
		"a webhook":                  {func(o *Observation) { o.Admission.FailClosed = []string{"kyverno/x"} }, report.SeverityWarning, checkAdmission, "kyverno/x"},
		"a policy":                   {func(o *Observation) { o.Admission.Policies = []string{"no-root"} }, report.SeverityWarning, checkAdmission, "no-root"},
		"restricted":                 {func(o *Observation) { o.Admission.Enforced = "restricted" }, report.SeverityWarning, checkAdmission, "pod security level restricted"},
		"privileged":                 {edit: func(o *Observation) { o.Admission.Enforced = "privileged" }},
		"a network policy":           {func(o *Observation) { o.Admission.Network = []string{"deny-all"} }, report.SeverityWarning, checkAdmission, "deny-all"},
		"a quota":                    {func(o *Observation) { o.Admission.Quotas = []string{"small"} }, report.SeverityWarning, checkAdmission, "small"},
	} {
		t.Run(name, func(t *testing.T) {
			o := observation(t, stacked)
			o.Nodes = append(o.Nodes, node("m3", "192.0.2.3", true, true))
			for i := range o.Nodes {
				o.Nodes[i].Status.NodeInfo.KubeletVersion = "v1.35.4"
			}
			o.Flags = map[string][]string{"m1": {"kube-apiserver"}, "m2": {"kube-apiserver"}}
			tt.edit(&o)
			c, _, err := Cluster(o, "")
			if err != nil {
				t.Fatal(err)
			}
			found := Findings(c, o)
			if tt.want == "" {
				if len(found) > 0 {
					t.Errorf("found %+v", found)
				}
				return
			}
			// A warning that only some have it comes beside the note that it is kept, and one of
			// versions beside the note of which they are.
			last := found[len(found)-1]
			if tt.severity == report.SeverityError && tt.check == checkVersions {
				last = found[0]
			}
			if last.Severity != tt.severity || last.Check != tt.check || !strings.Contains(last.Message, tt.want) || len(found) > 2 {
				t.Errorf("found %+v", found)
			}
		})
	}
}

func TestDistribution(t *testing.T) {
	for want, edit := range map[string]func(*corev1.Node){
		"":            func(n *corev1.Node) { n.Status.NodeInfo.KubeletVersion = "v1.35.4" },
		"k3s":         func(n *corev1.Node) { n.Status.NodeInfo.KubeletVersion = "v1.35.4+k3s1" },
		"RKE2":        func(n *corev1.Node) { n.Status.NodeInfo.KubeletVersion = "v1.35.4+rke2r1" },
		"k0s":         func(n *corev1.Node) { n.Status.NodeInfo.KubeletVersion = "v1.35.4+k0s" },
		"EKS":         func(n *corev1.Node) { n.Status.NodeInfo.KubeletVersion = "v1.35.4-eks-1a2b3c4" },
		"GKE":         func(n *corev1.Node) { n.Status.NodeInfo.KubeletVersion = "v1.35.4-gke.100" },
		"AKS":         func(n *corev1.Node) { n.Labels["kubernetes.azure.com/cluster"] = "x" },
		"OpenShift":   func(n *corev1.Node) { n.Labels["node.openshift.io/os_id"] = "rhcos" },
		"MicroK8s":    func(n *corev1.Node) { n.Labels["microk8s.io/cluster"] = "true" },
		"Talos Linux": func(n *corev1.Node) { n.Status.NodeInfo.OSImage = "Talos (v1.12.0)" },
	} {
		n := node("x", "192.0.2.1", true, true)
		edit(&n)
		if got := Distribution([]corev1.Node{node("y", "192.0.2.2", false, false), n}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if want == "" {
			continue
		}
		// It is refused by its name before anything else is looked at.
		_, err := Survey(t.Context(), fake.NewClientset(&n))
		var foreign *ForeignError
		if !errors.As(err, &foreign) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v", want, err)
		}
	}
	n := node("x", "192.0.2.1", true, true)
	if _, err := Survey(t.Context(), fake.NewClientset(&n)); err == nil || !strings.Contains(err.Error(), "kubeadm did not make this cluster") {
		t.Errorf("a cluster without kubeadm: %v", err)
	}
}

// TestAdmission: only what is about pods or Jobs in ha-system, and refuses when nobody answers.
func TestAdmission(t *testing.T) {
	rule := func(group, resource string, op admissionv1.OperationType) admissionv1.RuleWithOperations {
		return admissionv1.RuleWithOperations{Operations: []admissionv1.OperationType{op}, Rule: admissionv1.Rule{APIGroups: []string{group}, Resources: []string{resource}}}
	}
	hook := func(name string, policy admissionv1.FailurePolicyType, s *metav1.LabelSelector, r admissionv1.RuleWithOperations) runtime.Object {
		return &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name},
			Webhooks: []admissionv1.ValidatingWebhook{{Name: "w", FailurePolicy: &policy, NamespaceSelector: s, Rules: []admissionv1.RuleWithOperations{r}}}}
	}
	not := func(namespace string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: []string{namespace}}}}
	}
	pods := rule("", "pods", admissionv1.Create)
	for name, tt := range map[string]struct {
		have []runtime.Object
		want string
	}{
		"none":                  {nil, ""},
		"fails closed":          {[]runtime.Object{hook("a", admissionv1.Fail, nil, pods)}, "a/w"},
		"about Jobs":            {[]runtime.Object{hook("a", admissionv1.Fail, nil, rule("batch", "jobs", admissionv1.OperationAll))}, "a/w"},
		"about all":             {[]runtime.Object{hook("a", admissionv1.Fail, nil, rule("*", "*", admissionv1.OperationAll))}, "a/w"},
		"fails open":            {[]runtime.Object{hook("a", admissionv1.Ignore, nil, pods)}, ""},
		"about others":          {[]runtime.Object{hook("a", admissionv1.Fail, nil, rule("", "services", admissionv1.Create))}, ""},
		"about changes":         {[]runtime.Object{hook("a", admissionv1.Fail, nil, rule("", "pods", admissionv1.Update))}, ""},
		"ha-system is exempt":   {[]runtime.Object{hook("a", admissionv1.Fail, not("ha-system"), pods)}, ""},
		"kube-system is exempt": {[]runtime.Object{hook("a", admissionv1.Fail, not("kube-system"), pods)}, "a/w"},
		"a mutating one": {[]runtime.Object{&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "m"},
			Webhooks: []admissionv1.MutatingWebhook{{Name: "w", Rules: []admissionv1.RuleWithOperations{pods}}}}}, "m/w"},
		"a policy": {[]runtime.Object{&admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: pods}}}}}}, "p"},
		"our own policy": {[]runtime.Object{&admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "ha-coordinator"}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: pods}}}}}}, ""},
		"the namespace": {[]runtime.Object{
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ha-system", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}},
			&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "ha-system", Name: "deny"}},
			&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "other"}},
			&corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "ha-system", Name: "small"}}}, "restricted deny small"},
	} {
		t.Run(name, func(t *testing.T) {
			var o Observation
			if err := o.admission(t.Context(), fake.NewClientset(tt.have...)); err != nil {
				t.Fatal(err)
			}
			a := o.Admission
			got := strings.Fields(strings.Join(append(append(append(a.FailClosed, a.Policies...), a.Enforced), append(a.Network, a.Quotas...)...), " "))
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

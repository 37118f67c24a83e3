package adopt

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Observe reads what Cluster goes by. The error of a cluster that kubeadm has not made is the
// API's NotFound.
func Observe(ctx context.Context, kube kubernetes.Interface) (Observation, error) {
	var o Observation
	var err error
	if o.Kubeadm, err = ReadKubeadm(ctx, kube); err != nil {
		return o, err
	}
	if err := o.nodes(ctx, kube); err != nil {
		return o, err
	}
	for _, look := range []func(context.Context, kubernetes.Interface) error{o.flannel, o.addresses, o.clusterInfo, o.servers} {
		if err := look(ctx, kube); err != nil {
			return o, err
		}
	}
	return o, nil
}

// Survey is Observe with all that Findings go by. A cluster that kubeadm has not made is a
// *ForeignError, with the name of what made it, where that is known.
func Survey(ctx context.Context, kube kubernetes.Interface) (Observation, error) {
	var o Observation
	if err := o.nodes(ctx, kube); err != nil {
		return o, err
	}
	if name := Distribution(o.Nodes); name != "" {
		return o, &ForeignError{Name: name}
	}
	o, err := Observe(ctx, kube)
	if apierrors.IsNotFound(err) {
		return o, &ForeignError{}
	}
	if err != nil {
		return o, err
	}
	for _, look := range []func(context.Context, kubernetes.Interface) error{o.static, o.leases, o.admission} {
		if err := look(ctx, kube); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o *Observation) nodes(ctx context.Context, kube kubernetes.Interface) error {
	list, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	o.Nodes = list.Items
	return nil
}

func (o *Observation) flannel(ctx context.Context, kube kubernetes.Interface) error {
	_, err := kube.AppsV1().DaemonSets("kube-flannel").Get(ctx, "kube-flannel-ds", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("look for flannel: %w", err)
	}
	o.Flannel = err == nil
	return nil
}

// addresses are what the endpoint stands for from here. Whoever runs this may not know the name.
func (o *Observation) addresses(ctx context.Context, _ kubernetes.Interface) error {
	host, _, err := splitEndpoint(o.Kubeadm.ControlPlaneEndpoint)
	if err != nil || host == "" {
		return err
	}
	if _, err := netip.ParseAddr(host); err != nil {
		o.Addresses, _ = net.DefaultResolver.LookupHost(ctx, host)
	}
	return nil
}

// clusterInfo is the server that a node which joins is told of.
func (o *Observation) clusterInfo(ctx context.Context, kube kubernetes.Interface) error {
	m, err := kube.CoreV1().ConfigMaps(metav1.NamespacePublic).Get(ctx, "cluster-info", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read cluster-info: %w", err)
	}
	config, err := clientcmd.Load([]byte(m.Data["kubeconfig"]))
	if err != nil {
		return nil //nolint:nilerr // doctor tells of one that can't be read.
	}
	for _, c := range config.Clusters {
		if u, err := url.Parse(c.Server); err == nil && u.Port() != "" {
			o.ClusterInfo = u.Host
		}
	}
	return nil
}

// advertised is what kubeadm notes of each apiserver's own address.
// https://kubernetes.io/docs/reference/labels-annotations-taints/#kube-apiserver-advertise-address-endpoint
const advertised = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint"

// kubeadms are the static pods that kubeadm makes.
var kubeadms = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// servers reads what kubeadm notes of each apiserver, and its command.
func (o *Observation) servers(ctx context.Context, kube kubernetes.Interface) error {
	list, err := kube.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "component=kube-apiserver"})
	if err != nil {
		return fmt.Errorf("list the apiservers' pods: %w", err)
	}
	o.Servers, o.Flags = map[string]string{}, map[string][]string{}
	for _, p := range list.Items {
		if len(p.Spec.Containers) > 0 {
			o.Servers[p.Spec.NodeName], o.Flags[p.Spec.NodeName] = p.Annotations[advertised], p.Spec.Containers[0].Command
		}
	}
	return nil
}

// static reads the static pods, which the kubelets show in the API.
func (o *Observation) static(ctx context.Context, kube kubernetes.Interface) error {
	list, err := kube.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the pods of kube-system: %w", err)
	}
	o.Static = map[string][]StaticPod{}
	for _, p := range list.Items {
		name := strings.TrimSuffix(p.Name, "-"+p.Spec.NodeName)
		if p.Annotations[corev1.MirrorPodAnnotationKey] == "" || len(p.Spec.Containers) == 0 || slices.Contains(kubeadms, name) {
			continue
		}
		o.Static[p.Spec.NodeName] = append(o.Static[p.Spec.NodeName], StaticPod{Name: name, Image: p.Spec.Containers[0].Image})
	}
	return nil
}

func (o *Observation) leases(ctx context.Context, kube kubernetes.Interface) error {
	list, err := kube.CoordinationV1().Leases(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	for _, l := range list.Items {
		o.Leases = append(o.Leases, l.Name)
	}
	return nil
}

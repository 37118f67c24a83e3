package approver

import (
	"context"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const (
	// lookTimeout bounds one request, watchTimeout one watch, after which all is
	// looked at anew.
	lookTimeout  = 10 * time.Second
	watchTimeout = 5 * time.Minute
	// againAfter is the time until the next look after one that failed, and so the
	// longest that a node waits whose addresses were not known when it asked.
	againAfter = 2 * time.Second
)

// Options say what is approved, and where it is told.
type Options struct {
	// Cluster reads the stored Cluster document, which says whose addresses are whose.
	Cluster func(ctx context.Context) (*v1alpha1.Cluster, error)
	// Log takes a line for people about each decision.
	Log func(line string)
}

// Run approves requests until the context ends. Failed looks are repeated.
func Run(ctx context.Context, kube kubernetes.Interface, o Options) error {
	told := map[string]string{}
	for ctx.Err() == nil {
		if err := o.look(ctx, kube, told); err != nil && ctx.Err() == nil {
			o.Log(fmt.Sprintf("looking again: %v", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(againAfter):
		}
	}
	return nil
}

// look approves what is pending, and then waits for more.
func (o Options) look(ctx context.Context, kube kubernetes.Interface, told map[string]string) error {
	selector := fields.OneTermEqualSelector("spec.signerName", certificatesv1.KubeletServingSignerName).String()
	api := kube.CertificatesV1().CertificateSigningRequests()
	listing, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	list, err := api.List(listing, metav1.ListOptions{FieldSelector: selector})
	if err != nil {
		return fmt.Errorf("list the requests: %w", err)
	}
	left := false
	present := map[string]bool{}
	for i := range list.Items {
		present[list.Items[i].Name] = true
		done, err := o.decide(ctx, kube, &list.Items[i], told)
		if err != nil {
			return err
		}
		left = left || !done
	}
	for name := range told {
		if !present[name] {
			delete(told, name)
		}
	}
	if left {
		return nil // A node's addresses may come a little later than its request.
	}
	watching, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	w, err := api.Watch(watching, metav1.ListOptions{FieldSelector: selector, ResourceVersion: list.ResourceVersion})
	if err != nil {
		return fmt.Errorf("watch the requests: %w", err)
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		csr, ok := e.Object.(*certificatesv1.CertificateSigningRequest)
		if !ok {
			return apierrors.FromObject(e.Object)
		}
		if e.Type == watch.Deleted {
			continue
		}
		if done, err := o.decide(ctx, kube, csr, told); err != nil || !done {
			return err
		}
	}
	return nil
}

// decide approves one request; done is false when it is still pending afterwards.
func (o Options) decide(ctx context.Context, kube kubernetes.Interface, csr *certificatesv1.CertificateSigningRequest, told map[string]string) (done bool, err error) {
	if !Pending(csr) {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, fmt.Errorf("list the nodes: %w", err)
	}
	cluster, err := o.Cluster(ctx)
	if err != nil {
		return false, fmt.Errorf("read the Cluster document: %w", err)
	}
	if why := Judge(csr, nodes.Items, cluster); why != nil {
		if told[csr.Name] != why.Error() {
			told[csr.Name] = why.Error()
			o.Log(fmt.Sprintf("%s is left to people: %v", csr.Name, why))
		}
		return false, nil
	}
	approved := csr.DeepCopy()
	approved.Status.Conditions = append(approved.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue,
		Reason: "NodeAddresses", Message: "kubectl-ha: the kubelet asks for its node's own names and addresses",
	})
	_, err = kube.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, csr.Name, approved, metav1.UpdateOptions{})
	switch {
	case apierrors.IsConflict(err) || apierrors.IsNotFound(err):
		return true, nil // The other approver was faster.
	case err != nil:
		return false, fmt.Errorf("approve %s: %w", csr.Name, err)
	}
	o.Log(fmt.Sprintf("%s of %s is approved", csr.Name, csr.Spec.Username))
	return true, nil
}

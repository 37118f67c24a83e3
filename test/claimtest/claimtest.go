// Package claimtest is an API server for tests that knows the claim on a cluster, its Operations, and
// nothing else.
package claimtest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const (
	leases     = "/apis/coordination.k8s.io/v1/namespaces/" + v1alpha1.SystemNamespace + "/leases"
	claim      = leases + "/current-operation"
	operations = "/apis/" + v1alpha1.APIVersion + "/operations"
)

// API is one that runs.
type API struct {
	t      *testing.T
	url    string
	mu     sync.Mutex
	lease  *coordinationv1.Lease
	writes int
	ops    map[string]v1alpha1.Operation
	away   bool
}

// Serve runs one until the test ends.
func Serve(t *testing.T) *API {
	t.Helper()
	a := &API{t: t, ops: map[string]v1alpha1.Operation{}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

// Config is the way to it.
func (a *API) Config() *rest.Config { return &rest.Config{Host: a.url} }

// Away has it serve nobody, as without its etcd, or everybody again.
func (a *API) Away(away bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away = away
}

// Add adds an Operation, and makes it the one in progress.
func (a *API) Add(op v1alpha1.Operation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	op.APIVersion, op.Kind = v1alpha1.APIVersion, v1alpha1.OperationKind
	a.ops[op.Name] = op
	a.store(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "current-operation", Namespace: v1alpha1.SystemNamespace}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &op.Name}})
}

// Command makes a command of another machine the one in progress.
func (a *API) Command(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	holder, seconds, now := "command/other/"+line, int32(120), metav1.NowMicro()
	a.store(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "current-operation", Namespace: v1alpha1.SystemNamespace},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now}})
}

// Holder is who has the claim; empty for nobody.
func (a *API) Holder() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lease == nil || a.lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *a.lease.Spec.HolderIdentity
}

// store is a write of the lease. a.mu is held.
func (a *API) store(l *coordinationv1.Lease) {
	a.writes++
	l.TypeMeta = metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"}
	l.ResourceVersion = strconv.Itoa(a.writes)
	a.lease = l
}

// ServeHTTP answers.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	code, answer := status(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable)
	if !a.away {
		code, answer = a.answer(r)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		a.t.Error(err)
	}
}

func (a *API) answer(r *http.Request) (code int, answer any) {
	switch r.Method + " " + r.URL.Path {
	case "GET " + claim:
		if a.lease == nil {
			return status(http.StatusNotFound, metav1.StatusReasonNotFound)
		}
		return http.StatusOK, a.lease
	case "POST " + leases, "PUT " + claim:
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			a.t.Errorf("a lease: %v", err)
		}
		got, _, err := scheme.Codecs.UniversalDeserializer().Decode(raw, nil, nil)
		l, is := got.(*coordinationv1.Lease)
		if err != nil || !is {
			a.t.Errorf("%T is no lease: %v", got, err)
			return status(http.StatusBadRequest, metav1.StatusReasonBadRequest)
		}
		if a.lease != nil && l.ResourceVersion != a.lease.ResourceVersion {
			return status(http.StatusConflict, metav1.StatusReasonConflict)
		}
		a.store(l)
		return http.StatusOK, a.lease
	case "GET " + operations:
		list := v1alpha1.OperationList{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: "OperationList"}}
		for _, op := range a.ops {
			list.Items = append(list.Items, op)
		}
		return http.StatusOK, list
	}
	for name, op := range a.ops {
		if r.Method+" "+r.URL.Path == "GET "+operations+"/"+name {
			return http.StatusOK, op
		}
	}
	a.t.Errorf("a request that nobody expected: %s %s", r.Method, r.URL.Path)
	return status(http.StatusNotFound, metav1.StatusReasonNotFound)
}

func status(code int, reason metav1.StatusReason) (int, any) {
	return code, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: string(reason)}
}

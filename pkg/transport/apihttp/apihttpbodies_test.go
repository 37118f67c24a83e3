package apihttp

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// logged is what klog writes while do runs at a level.
func logged(t *testing.T, level int, do func()) string {
	t.Helper()
	defer klog.CaptureState().Restore()
	var out lockedBuffer
	v, vmodule := Levels(level)
	settings := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(settings)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL", "one_output": "true", "v": v, "vmodule": vmodule} {
		if err := settings.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	klog.SetOutput(&out)
	do()
	return out.String()
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// The secrets that the fake API server is sent and answers with; each is unlike anything else.
const (
	sentSecret     = "s3nt-in-a-secret"
	answeredSecret = "4nswered-with-a-secret"
	bearer         = "b34rer-of-the-caller"
	jwt            = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlIn0aaa.c2lnbmF0dXJlc2ln"
	bootstrap      = "abcdef.0123456789abcdef"
	privateKey     = "-----BEGIN PRIVATE KEY-----\\nMIIpr1vate\\n-----END PRIVATE KEY-----"
)

// server answers each request with JSON that has a secret in it where such a resource does.
func server(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	answers := map[string]string{
		"/api/v1/namespaces/ha-system/secrets/a":                 `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"},"stringData":{"a":"` + answeredSecret + `"}}`,
		"/api/v1/secrets":                                        `{"kind":"SecretList","apiVersion":"v1","items":[{"stringData":{"a":"` + answeredSecret + `"}}]}`,
		"/api/v1/namespaces/kube-system/serviceaccounts/x/token": `{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","status":{"token":"` + answeredSecret + `"}}`,
		"/api/v1/namespaces/ha-system/configmaps/cluster":        `{"kind":"ConfigMap","apiVersion":"v1","data":{"a":"` + answeredSecret + `"}}`,
		"/api/v1/configmaps":                                     `{"kind":"ConfigMapList","apiVersion":"v1","items":[{"data":{"a":"` + answeredSecret + `"}}]}`,
		"/api/v1/namespaces":                                     `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"sent-openly"}}`,
		"/api/v1/namespaces/default/pods/p/log":                  answeredSecret,
		"/api/v1/namespaces/default/configmaps/plain": `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"plain"},"data":{"seen":"an-open-word","join":"kubeadm join --token ` +
			bootstrap + `","jwt":"` + jwt + `","key":"` + privateKey + `"}}`,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[r.URL.Path]
		if !ok {
			answer = `{"kind":"Status","apiVersion":"v1","message":"` + answeredSecret + `"}`
		}
		// A client that went away has its answer no more.
		_, _ = fmt.Fprint(w, answer)
	}))
	t.Cleanup(s.Close)
	config := &rest.Config{Host: s.URL, BearerToken: bearer}
	LogBodies(config)
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return kube
}

// requests are one of each kind that has secrets in it, and by name what its path has.
func requests(ctx context.Context, kube *kubernetes.Clientset) map[string]func() error {
	core := kube.CoreV1()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "ha-system"}, StringData: map[string]string{"a": sentSecret}}
	return map[string]func() error{
		"read": func() error { _, err := core.Secrets("ha-system").Get(ctx, "a", metav1.GetOptions{}); return err },
		"list": func() error { _, err := core.Secrets("").List(ctx, metav1.ListOptions{}); return err },
		"create": func() error {
			_, err := core.Secrets("ha-system").Create(ctx, secret, metav1.CreateOptions{})
			return err
		},
		"patch": func() error {
			_, err := core.Secrets("ha-system").Patch(ctx, "a", "application/apply-patch+yaml", []byte(`{"stringData":{"a":"`+sentSecret+`"}}`), metav1.PatchOptions{FieldManager: "test"})
			return err
		},
		"token": func() error {
			_, err := core.ServiceAccounts("kube-system").CreateToken(ctx, "x", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{sentSecret}}}, metav1.CreateOptions{})
			return err
		},
		"review": func() error {
			_, err := kube.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: sentSecret}}, metav1.CreateOptions{})
			return err
		},
		"certificate": func() error {
			_, err := kube.CertificatesV1().CertificateSigningRequests().Create(ctx, &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{SignerName: sentSecret}}, metav1.CreateOptions{})
			return err
		},
		"document": func() error {
			_, err := core.ConfigMaps("ha-system").Get(ctx, "cluster", metav1.GetOptions{})
			return err
		},
		"documents": func() error { _, err := core.ConfigMaps("").List(ctx, metav1.ListOptions{}); return err },
		"log": func() error {
			_, err := core.Pods("default").GetLogs("p", &corev1.PodLogOptions{}).DoRaw(ctx)
			return err
		},
		"raw": func() error { _, err := core.RESTClient().Get().AbsPath("/api/v1/secrets").DoRaw(ctx); return err },
	}
}

// TestBodiesWithoutSecrets: at every level, up to the highest, none of the secrets is
// logged, and from 6 on each request is.
func TestBodiesWithoutSecrets(t *testing.T) {
	kube := map[int]*kubernetes.Clientset{}
	for _, level := range []int{0, 6, 7, 8, 9, 10, 99} {
		// client-go decides on some of it when a client is made.
		text := logged(t, level, func() {
			kube[level] = server(t)
			for name, do := range requests(t.Context(), kube[level]) {
				// The answers are not all of the kind that was asked for.
				if err := do(); err != nil && !strings.Contains(err.Error(), "Status") && !strings.Contains(err.Error(), answeredSecret) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
		for _, secret := range []string{sentSecret, answeredSecret, bearer} {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("level %d: %s", level, text[max(0, at-300):at+len(secret)])
			}
		}
		if n := strings.Count(text, "/api/v1/namespaces/ha-system/secrets"); (level >= 6) != (n > 0) {
			t.Errorf("level %d: the requests are in it %d times", level, n)
		}
		if left := strings.Contains(text, "left out: it may hold secrets (secrets)"); left != (level >= 8) {
			t.Errorf("level %d tells of what was left out: %v", level, left)
		}
	}
}

// TestBodiesThatAreLogged: what has no secret is whole, and secrets that are where nobody
// expects them are masked.
func TestBodiesThatAreLogged(t *testing.T) {
	for level, want := range map[int]bool{7: false, 8: true, 10: true} {
		text := logged(t, level, func() {
			kube := server(t)
			got, err := kube.CoreV1().ConfigMaps("default").Get(t.Context(), "plain", metav1.GetOptions{})
			if err != nil || got.Data["jwt"] != jwt {
				t.Errorf("the caller has not got what was sent: %v, %v", got, err)
			}
			if _, err := kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sent-openly"}}, metav1.CreateOptions{}); err != nil {
				t.Error(err)
			}
		})
		if got := strings.Contains(text, "an-open-word") && strings.Count(text, "sent-openly") == 2; got != want {
			t.Errorf("level %d: both bodies are logged: %v\n%s", level, got, text)
		}
		for _, secret := range []string{bootstrap, jwt, "MIIpr1vate"} {
			if strings.Contains(text, secret) {
				t.Errorf("level %d has %s", level, secret)
			}
		}
	}
}

// TestMasked: what is called like a secret has no value left, and the rest is untouched.
func TestMasked(t *testing.T) {
	for body, want := range map[string]string{
		`{"env":[{"name":"DB_PASSWORD","value":"hunter2"},{"name":"MODE","value":"fast"}]}`: `{"env":[{"name":"DB_PASSWORD","value":"[secret]"},{"name":"MODE","value":"fast"}]}`,
		`{"a":"{\"token\":\"hunter2\",\"b\":1}"}`:                                           `{"a":"{\"token\":\"[secret]\",\"b\":1}"}`,
		`{"last":"{\"name\":\"API_KEY\",\"value\":\"hunter2\"}"}`:                           `{"last":"{\"name\":\"API_KEY\",\"value\":\"[secret]\"}"}`,
		`{"apiKey": "hunter2", "tokenExpiry": 3}`:                                           `{"apiKey": "[secret]", "tokenExpiry": 3}`,
		`{"secret":{"secretName":"etcd-client"},"automountServiceAccountToken":false}`:      `{"secret":{"secretName":"etcd-client"},"automountServiceAccountToken":false}`,
		`{"image":"example.com/a@sha256:` + strings.Repeat("0f", 32) + `"}`:                 `{"image":"example.com/a@sha256:` + strings.Repeat("0f", 32) + `"}`,
	} {
		if got := masked(body); got != want {
			t.Errorf("%s\nbecame %s", body, got)
		}
	}
}

// TestLongBodiesAreCut, as kubectl does.
func TestLongBodiesAreCut(t *testing.T) {
	body := strings.Repeat("x", 20000)
	for level, want := range map[int]int{8: 1024, 9: 10240, 10: 20000} {
		logged(t, level, func() {
			if got := strings.Count(shortened(body), "x"); got != want {
				t.Errorf("level %d: %d characters", level, got)
			}
		})
	}
}

// TestStreamsAreNotWaitedFor: what has no end is passed on as it comes.
func TestStreamsAreNotWaitedFor(t *testing.T) {
	for path, want := range map[string]bool{"/api/v1/pods?watch=true": true, "/api/v1/pods?watch=1": true, "/api/v1/watch/pods": true,
		"/api/v1/namespaces/a/pods/p/log?follow=true": true, "/api/v1/pods": false} {
		if got := lasts(httptest.NewRequest(http.MethodGet, path, nil)); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

package kubeconfig

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzLoad: a file that is there is this cluster's kubeconfig, or refused.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"", "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: https://a}}]\nusers: [{name: u, user: {token: a.eyJleHAiOjF9.b}}]\ncontexts: [{name: lab, context: {cluster: c, user: u}}]\ncurrent-context: lab\n",
		"contexts: [{name: other, context: {}}]\n", "users: [{name: u, user: {client-certificate-data: AAAA}}]\n", "contexts: [{name: lab}]\ncurrent-context: lab\n", "[]", "users: [null]\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Load(file, "lab")
		if (err == nil) != (got != nil) {
			t.Fatalf("%v, %v", got, err)
		}
		if got != nil {
			got.Lasts(time.Unix(0, 0))
		}
	})
}

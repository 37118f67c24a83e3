package kubeconfig

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none"), "lab"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("\tno YAML"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(garbage, "lab"); err == nil {
		t.Error("garbage was read")
	}
	both := lab()
	both.Contexts["other"] = &clientcmdapi.Context{Cluster: "lab"}
	write(t, filepath.Join(dir, "both"), both)
	if _, err := Load(filepath.Join(dir, "both"), "lab"); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v", err)
	}
	write(t, filepath.Join(dir, "own"), lab())
	got, err := Load(filepath.Join(dir, "own"), "lab")
	if err != nil || got.Server != options().Server || !got.Expires.IsZero() || got.Lasts(time.Now()) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestExpiryOfACertificate(t *testing.T) {
	client := fake.NewClientset(rootCA())
	newSigner(t).attach(client)
	issued, err := issue(context.Background(), client, &rest.Config{}, options())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, issued.Config)
	got, err := Load(path, "lab")
	if err != nil || !got.Expires.Equal(issued.Expires) {
		t.Fatalf("%+v, %v; want %s", got, err, issued.Expires)
	}
	if !got.Lasts(time.Now()) || got.Lasts(issued.Expires.Add(-24*time.Hour)) {
		t.Error("it lasts at the start, and not a day before its end")
	}
}

func TestExpiryOfAToken(t *testing.T) {
	end := time.Now().Add(5 * time.Hour).Truncate(time.Second)
	claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, end.Unix()))
	c := lab()
	c.AuthInfos["lab-alice"].Token = "e30." + claims + ".c2ln"
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, c)
	got, err := Load(path, "lab")
	if err != nil || !got.Expires.Equal(end) || !got.Lasts(time.Now()) || got.Lasts(end.Add(-time.Hour)) {
		t.Errorf("%+v, %v", got, err)
	}
}

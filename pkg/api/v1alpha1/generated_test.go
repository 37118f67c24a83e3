package v1alpha1

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGeneratedIsUpToDate compares what `make generate` writes with what is there.
func TestGeneratedIsUpToDate(t *testing.T) {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command to run controller-gen with")
	}
	dir := t.TempDir()
	const copies = "zz_generated.deepcopy.go"
	for _, one := range []struct {
		file string
		args []string
		made func(stdout []byte) ([]byte, error)
	}{
		{copies, []string{"object", "output:object:dir=" + dir}, func([]byte) ([]byte, error) { return os.ReadFile(filepath.Join(dir, copies)) }},
		{"../../../manifests/operation-crd.yaml", []string{"crd", "output:crd:stdout"}, func(stdout []byte) ([]byte, error) { return stdout, nil }},
	} {
		cmd := exec.CommandContext(t.Context(), goCommand, append([]string{"tool", "controller-gen", "paths=."}, one.args...)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.Bytes())
		}
		want, err := one.made(stdout.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(one.file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run make generate", one.file)
		}
	}
}

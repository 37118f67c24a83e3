package look

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/diagnose"
)

// TestWriteSupport: only the caller can read the archive, and no file is replaced by it.
func TestWriteSupport(t *testing.T) {
	s := diagnose.Support{Files: map[string][]byte{"status.txt": []byte("well")}, Missed: []string{"one: forbidden"}}
	var out, errOut bytes.Buffer
	o := supportOptions{IOStreams: genericiooptions.IOStreams{Out: &out, ErrOut: &errOut}, output: filepath.Join(t.TempDir(), "a.tar.gz")}
	if err := o.write(s, time.Now()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(o.output); err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
		t.Errorf("%v, %v", info, err)
	}
	if !strings.Contains(errOut.String(), "1 file, 1 thing not collected") || out.Len() > 0 {
		t.Errorf("got %q, %q", errOut.String(), out.String())
	}
	if err := o.write(s, time.Now()); action.KindOf(err) != action.Invalid {
		t.Errorf("a file was replaced: %v", err)
	}
	o.output = "-"
	errOut.Reset()
	if err := o.write(s, time.Now()); err != nil || out.Len() == 0 || errOut.Len() > 0 {
		t.Errorf("%v, %d bytes, %q", err, out.Len(), errOut.String())
	}
}

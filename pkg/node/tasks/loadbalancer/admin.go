package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// adminFiles are the access files that kubeadm leaves on a control plane for people.
var adminFiles = []string{"/etc/kubernetes/admin.conf", "/etc/kubernetes/super-admin.conf"}

// AdminSpec says where administrators are to find the API.
type AdminSpec struct {
	// Server is the URL that their files are to name.
	Server string `json:"server"`
	// From lists the URLs that it replaces. A file that names another one stays as it is.
	From []string `json:"from"`
}

// AdminData tells what was found.
type AdminData struct {
	// Changed are the files that were changed; Kept are the URLs of those that were not, by path.
	Changed []string          `json:"changed,omitempty"`
	Kept    map[string]string `json:"kept,omitempty"`
}

// Admin points kubeadm's access files for people at another endpoint. Files that are not there
// are passed over: some clusters remove them.
func Admin(ctx context.Context, env node.Env, spec AdminSpec) (any, error) {
	h := env.Host
	data := AdminData{Kept: map[string]string{}}
	for _, path := range adminFiles {
		raw, err := h.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		content, before, err := kubeconfig.SetServer(raw, spec.Server)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		switch {
		case before == spec.Server:
			continue
		case !slices.Contains(spec.From, before):
			data.Kept[path] = before
			continue
		}
		// Unkept: a copy of an administrator's key would be left where nobody looks for one.
		if _, err := h.WriteFile(ctx, host.File{Path: path, Mode: 0o600, Content: content, Note: "it names " + spec.Server, Unkept: true}); err != nil {
			return nil, err
		}
		data.Changed = append(data.Changed, path)
	}
	return data, nil
}

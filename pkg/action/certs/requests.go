package certs

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/localfile"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Written is what Requests has written.
type Written struct {
	// Files are the requests: DIR/HOST/NAME.csr. Beside each is the certificate in use,
	// NAME.current.crt.
	Files []string `json:"files,omitempty"`
	// Left says what is due and was not asked for, with why.
	Left []string `json:"left,omitempty"`
}

// Requests has hosts make keys for the certificates that are due, or are named, and that nobody
// here can sign, and writes their certificate requests into a folder. The keys stay on the hosts,
// where they wait; written again the requests are for the same keys. Renew takes what was signed
// from Options.SignedDir.
func Requests(ctx context.Context, o Options, dir string, sink report.Sink) (Written, error) {
	var out Written
	if o.SignedDir != "" {
		return out, action.Invalidf("requests are written first, and signed certificates used afterwards: not both")
	}
	clients, err := o.open(ctx)
	if err != nil {
		return out, err
	}
	if o.Cluster, err = o.document(ctx, clients); err != nil {
		return out, err
	}
	if err := o.check(); err != nil {
		return out, err
	}
	s, err := o.signers(ctx)
	if err != nil {
		return out, err
	}
	_, way, err := o.begin(ctx, clients, sink)
	if err != nil {
		return out, err
	}
	found, unseen, err := o.lookAll(ctx, clients, way, sink)
	if err != nil {
		return out, err
	}
	for _, h := range o.keepers() {
		if why := unseen[h.Name]; why != "" {
			out.Left = append(out.Left, h.Name+": "+why)
		}
		names := o.unsigned(s, h, found[h.Name])
		if len(names) == 0 {
			continue
		}
		if o.DryRun {
			for _, n := range names {
				out.Files = append(out.Files, file(dir, h.Name, n, ".csr"))
			}
			continue
		}
		pending, err := ask(ctx, o.Cluster, way(h), h, names, report.Warnings(sink))
		if err != nil {
			return out, action.OfRun(err)
		}
		files, err := writeRequests(dir, h.Name, pending)
		out.Files = append(out.Files, files...)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// unsigned are the certificates of a host that are to be renewed and that nobody here can sign.
func (o Options) unsigned(s signers, h v1alpha1.Host, data certs.LookData) []string {
	var out []string
	for _, c := range data.Certificates {
		external := slices.Contains([]certs.Owner{certs.OwnerWorkstation, certs.OwnerElsewhere}, c.RenewedBy)
		if o.wanted(c) && external && s.lacks(h.Name, c) != nil {
			out = append(out, c.Name)
		}
	}
	return out
}

// writeRequests writes a host's. Nothing in them is a secret.
func writeRequests(dir, host string, pending map[string]certs.Pending) ([]string, error) {
	var out []string
	if err := os.MkdirAll(filepath.Join(dir, host), 0o755); err != nil {
		return nil, fmt.Errorf("write the certificate requests of %s: %w", host, err)
	}
	for _, name := range slices.Sorted(maps.Keys(pending)) {
		p := pending[name]
		for ending, content := range map[string][]byte{".csr": p.Request, ".current.crt": p.Current} {
			if err := localfile.Write(file(dir, host, name, ending), content, 0o644); err != nil {
				return out, fmt.Errorf("write the certificate requests of %s: %w", host, err)
			}
		}
		out = append(out, file(dir, host, name, ".csr"))
	}
	return out, nil
}

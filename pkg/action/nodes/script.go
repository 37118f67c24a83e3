package nodes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"text/template"
	"time"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// JoinRequest is all that a host needs that joins itself: what the workstation would
// otherwise send it step by step. It holds secrets.
type JoinRequest struct {
	Host    string `json:"host"`
	Cluster string `json:"cluster"`
	// Token and CAHash are what its kubelet joins with.
	Token  string `json:"token"`
	CAHash string `json:"caHash"`
	// AgentImage is the reference of the agent's own image.
	AgentImage string `json:"agentImage"`
	// Member is set for a new etcd member.
	Member *bootstrap.MemberFiles `json:"member,omitempty"`
}

// Script does on a host what is otherwise done over SSH.
type Script struct {
	// Host is whose it is.
	Host string
	// Text is for a POSIX shell. It is a secret: a token is in it, and an etcd member's keys.
	Text []byte
	// Until is when the token ends.
	Until time.Time
}

// NewScript makes the script for the one host in Names, and with it a bootstrap token. Once it has
// run there, RunAdd with Joined does the rest. Login, DryRun and Confirm are not used.
func NewScript(ctx context.Context, o AddOptions) (*Script, error) {
	if len(o.Names) != 1 {
		return nil, action.Invalidf("a script is for one host, not for %d", len(o.Names))
	}
	a, err := newAdding(o, o.To.Stored)
	if err != nil {
		return nil, err
	}
	defer a.close()
	if err := o.To.RefuseOther(ctx, a.operation()); err != nil {
		return nil, err
	}
	p, err := a.plan(ctx, nil)
	if err != nil {
		return nil, err
	}
	if bad := nodes.Blocking(p.Findings); len(bad) > 0 {
		return nil, action.As(action.Findings, &nodes.Refused{Findings: bad})
	}
	return a.script(ctx)
}

func (a *adding) script(ctx context.Context) (*Script, error) {
	h, _ := a.merged.Host(a.Names[0])
	document, err := v1alpha1.Marshal(a.merged)
	if err != nil {
		return nil, err
	}
	e := JoinRequest{Host: h.Name, Cluster: string(document), AgentImage: a.image}
	if h.Has(v1alpha1.RoleEtcd) && !a.merged.Stacked() {
		files, err := bootstrap.SignMember(ctx, a.StateDir, a.merged.Metadata.Name, h)
		if err != nil {
			return nil, fmt.Errorf("%w: it must sign the certificates of a new etcd member; run this on the machine that created the cluster", err)
		}
		e.Member = &files
	}
	if e.Token, e.CAHash, err = discovery(a.To.Clients.Kube)(ctx); err != nil {
		return nil, action.OfCluster(err)
	}
	s := &Script{Host: h.Name, Until: time.Now().Add(bootstrap.TokenLife)}
	// Whoever names the bundle here gets it there, or nothing.
	digest := ""
	if a.supply.Bundle != nil {
		digest = a.supply.Bundle.Digest().String()
	}
	s.Text, err = render(e, scriptNotes{Cluster: a.merged.Metadata.Name, File: a.File, Digest: digest, Until: s.Until})
	return s, err
}

// scriptNotes are what a script says beside the request. None of it is a secret.
type scriptNotes struct {
	// Cluster is its name, File the Cluster file's on the workstation.
	Cluster, File string
	// Digest is the bundle's that it has to be; empty for any.
	Digest string
	Until  time.Time
}

// render is the script's text. It is pure.
func render(e JoinRequest, n scriptNotes) ([]byte, error) {
	request, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	t, err := template.ParseFS(manifests.FS, manifests.JoinScript)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]string{"Host": e.Host, "Cluster": n.Cluster, "Display": program.Name, "File": n.File,
		"Until": n.Until.UTC().Format(time.RFC3339), "Request": string(request), "Digest": n.Digest})
	return b.Bytes(), err
}

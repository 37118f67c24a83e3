// Command program uses actions as a program of somebody else's does: without a command line.
package main

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/access"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/adopt"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

func main() {
	ctx := context.Background()
	sink := report.SinkFunc(func(e report.Event) { fmt.Println(e.Kind, e.Step) })
	cluster := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: "192.0.2.9"}}
	cluster.Metadata.Name = "theirs"
	cluster.SetDefaults()
	login := remote.Login{Environment: ssh.Environment{Home: "/nonexistent", User: "nobody"}, HostKeys: ssh.Strict}

	// What contradicts itself is refused before anybody is asked, with a kind.
	_, errAccess := access.RunIssue(ctx, access.IssueOptions{Config: &rest.Config{}, VirtualIP: true, LoadBalancer: true}, sink)
	_, errImages := images.RunPush(ctx, images.PushOptions{Config: &rest.Config{}}, sink)
	_, errUninstall := uninstall.Run(ctx, uninstall.Options{Cluster: cluster, Login: login, SnapshotFile: "/nonexistent/s.db"}, sink)
	_, errBootstrap := bootstrap.Run(ctx, bootstrap.Options{Cluster: cluster, Login: login, Kubeconfig: "/nonexistent/k",
		Confirm: func(context.Context, plan.Plan) error { return errors.New("no") }}, sink)
	for name, err := range map[string]error{"access": errAccess, "images": errImages, "uninstall": errUninstall, "bootstrap": errBootstrap} {
		if action.KindOf(err) != action.Invalid {
			panic(fmt.Sprintf("%s: %q, %v", name, action.KindOf(err), err))
		}
	}
	// Whoever has a cluster finds out what would be stored, shows it, and goes on or not.
	var _ func(context.Context, adopt.Options, report.Sink) (*adopt.Plan, error) = adopt.Find
	fmt.Println("four refusals")
}

package ctrd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// podName is the label by which the kubelet names its pods; a sandbox without it
// is not the kubelet's.
const podName = "io.kubernetes.pod.name"

// Pod is one of the kubelet's, as the container runtime has it.
type Pod struct {
	ID, Namespace, Name string
}

// Pods lists the kubelet's pods, running or not.
func Pods(ctx context.Context, socket string) (_ []Pod, err error) {
	client, done, err := dialCRI(socket)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	answer, err := client.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the pods in containerd: %w", err)
	}
	var out []Pod
	for _, s := range answer.Items {
		if s.Labels[podName] != "" {
			out = append(out, Pod{ID: s.Id, Namespace: s.Metadata.GetNamespace(), Name: s.Metadata.GetName()})
		}
	}
	return out, nil
}

// RemovePods ends pods, their containers first, all side by side, each with so
// much time to end by itself; their networks are taken down by the plugin. What
// can't be removed is in the error, and does not keep the others from it.
func RemovePods(ctx context.Context, socket string, pods []Pod, grace time.Duration) (err error) {
	client, done, err := dialCRI(socket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	errs := make([]error, len(pods))
	var all sync.WaitGroup
	for i, p := range pods {
		all.Go(func() {
			if err := removePod(ctx, client, p, grace); err != nil {
				errs[i] = fmt.Errorf("end the pod %s/%s: %w", p.Namespace, p.Name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// StopPods ends the containers of pods, one pod after the other, each with so much time
// to end by itself, and leaves the rest to the kubelet.
func StopPods(ctx context.Context, socket string, pods []Pod, grace time.Duration) (err error) {
	client, done, err := dialCRI(socket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	for _, p := range pods {
		if err := stopContainers(ctx, client, p, grace); err != nil {
			return fmt.Errorf("end the pod %s/%s: %w", p.Namespace, p.Name, err)
		}
	}
	return nil
}

func removePod(ctx context.Context, client cri.RuntimeServiceClient, p Pod, grace time.Duration) error {
	failed := stopContainers(ctx, client, p, grace)
	if _, err := client.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		return errors.Join(failed, err)
	}
	// It is stopped: what a container said before does not matter any more.
	_, err := client.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.ID})
	return err
}

// stopContainers ends those of a pod that run, side by side.
func stopContainers(ctx context.Context, client cri.RuntimeServiceClient, p Pod, grace time.Duration) error {
	containers, err := client.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{PodSandboxId: p.ID}})
	if err != nil {
		return fmt.Errorf("list its containers: %w", err)
	}
	errs := make([]error, len(containers.Containers))
	var all sync.WaitGroup
	for i, c := range containers.Containers {
		if c.State != cri.ContainerState_CONTAINER_RUNNING {
			continue
		}
		all.Go(func() {
			_, errs[i] = client.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: c.Id, Timeout: int64(grace / time.Second)})
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// dialCRI reaches the kubelet's side of the daemon.
func dialCRI(socket string) (cri.RuntimeServiceClient, func() error, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to containerd at %s: %w", socket, err)
	}
	return cri.NewRuntimeServiceClient(conn), conn.Close, nil
}

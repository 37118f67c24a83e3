// Package docker drives Docker through its command line, by argv, and starts a
// daemon where none answers.
package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// LabelLab is the label that carries the lab's name on everything a lab owns.
const LabelLab = "kubectl-ha.dev/lab"

// LabelSave is the label that carries a frozen lab's name on all that it owns.
const LabelSave = "kubectl-ha.dev/lab-save"

// Client runs the docker command.
type Client struct{}

// Run runs docker with args and returns its standard output without the last newline.
func (Client) Run(ctx context.Context, args ...string) (string, error) {
	out, err := run.Output(ctx, run.Cmd{Argv: append([]string{"docker"}, args...)})
	return strings.TrimSuffix(out, "\n"), err
}

// Feed is Run with something to read.
func (Client) Feed(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	out, err := run.Output(ctx, run.Cmd{Argv: append([]string{"docker"}, args...), Stdin: stdin})
	return strings.TrimSuffix(out, "\n"), err
}

// Stream is Feed with the output written to stdout as it comes.
func (Client) Stream(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error {
	_, err := run.Output(ctx, run.Cmd{Argv: append([]string{"docker"}, args...), Stdin: stdin, Stdout: stdout})
	return err
}

// Container is what the lab wants to know about a container.
type Container struct {
	Name  string
	State struct {
		// Status is created, running, paused, restarting, exited or dead.
		Status string
		// Pid is its first process as the machine sees it, 0 when there is none.
		Pid int
	}
	Config struct {
		Image  string
		Labels map[string]string
	}
	Mounts []struct{ Type, Name, Destination string }
}

// Volume is the name of the volume that is mounted at path, or "".
func (c Container) Volume(path string) string {
	for _, m := range c.Mounts {
		if m.Type == "volume" && m.Destination == path {
			return m.Name
		}
	}
	return ""
}

// Containers returns the containers whose label has the value, by name.
func (c Client) Containers(ctx context.Context, label, value string) (map[string]Container, error) {
	var list []Container
	ids := []string{"ps", "--all", "--quiet", "--no-trunc", "--filter", "label=" + label + "=" + value}
	if err := c.inspectAll(ctx, ids, []string{"inspect", "--type", "container"}, &list); err != nil {
		return nil, err
	}
	byName := map[string]Container{}
	for _, ctr := range list {
		ctr.Name = strings.TrimPrefix(ctr.Name, "/")
		byName[ctr.Name] = ctr
	}
	return byName, nil
}

// inspectAll decodes what docker's inspect command says about all ids that its
// list command names. Somebody may remove one between the two, and one that is
// just being made is listed before it can be inspected. Docker makes an error of
// either; both commands only read, so they are repeated for up to 20 seconds.
func (c Client) inspectAll(ctx context.Context, list, inspect []string, into any) error {
	deadline := time.After(20 * time.Second)
	for {
		ids, err := c.Run(ctx, list...)
		if err != nil || ids == "" {
			return err
		}
		out, failed := c.Run(ctx, slices.Concat(inspect, strings.Fields(ids))...)
		if failed == nil {
			if err := json.Unmarshal([]byte(out), into); err != nil {
				return fmt.Errorf("docker %s: %w", strings.Join(inspect, " "), err)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return failed
		case <-deadline:
			return failed
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Network is what the lab wants to know about a network.
type Network struct {
	Name   string
	Labels map[string]string
	IPAM   struct {
		Config []struct{ Subnet string }
	}
}

// Networks returns all networks, anybody's.
func (c Client) Networks(ctx context.Context) ([]Network, error) {
	var list []Network
	err := c.inspectAll(ctx, []string{"network", "ls", "--quiet", "--no-trunc"}, []string{"network", "inspect"}, &list)
	return list, err
}

// RemoveVolumes removes the volumes whose label has the value.
func (c Client) RemoveVolumes(ctx context.Context, label, value string) error {
	out, err := c.Run(ctx, "volume", "ls", "--quiet", "--filter", "label="+label+"="+value)
	if err != nil || out == "" {
		return err
	}
	_, err = c.Run(ctx, append([]string{"volume", "rm"}, strings.Fields(out)...)...)
	return err
}

// HasImage reports whether the image is in Docker's store.
func (c Client) HasImage(ctx context.Context, ref string) (bool, error) {
	out, err := c.Run(ctx, "image", "ls", "--quiet", ref)
	return out != "", err
}

// RemoveImages removes all images of a repository.
func (c Client) RemoveImages(ctx context.Context, repository string) error {
	out, err := c.Run(ctx, "image", "ls", "--quiet", repository)
	if err != nil || out == "" {
		return err
	}
	_, err = c.Run(ctx, append([]string{"image", "rm", "--force"}, strings.Fields(out)...)...)
	return err
}

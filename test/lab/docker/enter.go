package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// socket is where the daemon of this machine answers: by DOCKER_HOST, or where it does of itself.
func socket() string {
	if path, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		return path
	}
	return "/var/run/docker.sock"
}

// Enter is the command line, and all of its environment, that runs argv in a running
// container as root. `docker exec` would do the same, and takes twenty times as long: the tests
// look into hosts thousands of times. What is started is in the container's namespaces and not
// in its cgroup.
func (c Client) Enter(ctx context.Context, container string, argv []string) (line, env []string, err error) {
	pid, err := c.pid(ctx, container)
	if err != nil {
		return nil, nil, err
	}
	line = append(run.AsRoot("nsenter", "--all", "--target", strconv.Itoa(pid), "--"), argv...)
	return line, []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}, nil
}

// pid is a running container's first process as this machine sees it. The daemon is asked
// directly: its client takes longer to start than this command takes altogether.
// https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerInspect
func (c Client) pid(ctx context.Context, container string) (pid int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket())
	}
	daemon := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/containers/"+url.PathEscape(container)+"/json", nil)
	if err != nil {
		return 0, err
	}
	resp, err := daemon.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask Docker for %s: %w", container, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("ask Docker for %s: %s", container, resp.Status)
	}
	var found Container
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		return 0, fmt.Errorf("ask Docker for %s: %w", container, err)
	}
	if found.State.Status != "running" || found.State.Pid == 0 {
		return 0, fmt.Errorf("%s is %s, and not running", container, found.State.Status)
	}
	return found.State.Pid, nil
}

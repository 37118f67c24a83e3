package bundle

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
)

// latestTimeout bounds the question for one version.
const latestTimeout = 10 * time.Second

// LatestKubernetes asks upstream, or a mirror of it, for the newest release of a
// minor version of Kubernetes 1. An empty mirror is upstream itself.
// https://kubernetes.io/releases/download/
func LatestKubernetes(ctx context.Context, mirror string, minor uint) (string, error) {
	url, err := mirrored(fmt.Sprintf("https://dl.k8s.io/release/stable-1.%d.txt", minor), mirror)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, latestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask for the newest v1.%d: %w", minor, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ask for the newest v1.%d: %s says %s", minor, url, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64))
	if err != nil {
		return "", fmt.Errorf("ask for the newest v1.%d: %w", minor, err)
	}
	v, err := version.ParseSemantic(strings.TrimSpace(string(data)))
	if err != nil || v.Minor() != minor {
		return "", fmt.Errorf("ask for the newest v1.%d: %s answers %.40q", minor, url, data)
	}
	return "v" + v.String(), nil
}

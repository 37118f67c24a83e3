package images

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// kubeletConfig is where kubeadm puts the kubelet's configuration.
const kubeletConfig = "/var/lib/kubelet/config.yaml"

// The kubelet's defaults: KubeletConfiguration's evictionHard and
// imageGCHighThresholdPercent, and the page on node-pressure eviction in the
// documentation of Kubernetes.
const (
	defaultImagefs = "15%"
	defaultNodefs  = "10%"
	defaultGCHigh  = 85
)

// reserve is how much of a disk the kubelet wants free: where there is less it
// removes images again, then evicts pods.
type reserve struct {
	// gcBelow is the percentage below which it removes images; imagefs and nodefs
	// are percentages or quantities below which it evicts, of the disk that has the
	// images and the one that has all the rest, which mostly are the same.
	gcBelow         int64
	imagefs, nodefs string
}

// readReserve reads what this node's kubelet was told; its defaults where there is
// no kubelet yet.
func readReserve(h *host.Host) (reserve, error) {
	data, err := h.ReadFile(kubeletConfig)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return reserve{}, fmt.Errorf("read the kubelet's configuration: %w", err)
	}
	r, err := parseReserve(data)
	if err != nil {
		return r, fmt.Errorf("%s: %w", kubeletConfig, err)
	}
	return r, nil
}

// parseReserve is pure.
func parseReserve(data []byte) (reserve, error) {
	var c struct {
		EvictionHard map[string]string `json:"evictionHard"`
		// Merge says that what evictionHard does not name has its default.
		Merge  bool   `json:"mergeDefaultEvictionSettings"`
		GCHigh *int64 `json:"imageGCHighThresholdPercent"`
	}
	if err := yaml.Unmarshal(data, &c); err != nil {
		return reserve{}, err
	}
	r := reserve{gcBelow: 100 - defaultGCHigh, imagefs: defaultImagefs, nodefs: defaultNodefs}
	if c.GCHigh != nil {
		if *c.GCHigh < 0 || *c.GCHigh > 100 {
			return r, fmt.Errorf("imageGCHighThresholdPercent: %d is no percentage", *c.GCHigh)
		}
		r.gcBelow = 100 - *c.GCHigh
	}
	for key, into := range map[string]*string{"imagefs.available": &r.imagefs, "nodefs.available": &r.nodefs} {
		if value, ok := c.EvictionHard[key]; ok {
			*into = value
		} else if len(c.EvictionHard) > 0 && !c.Merge {
			*into = "0%" // Whoever names one threshold has named all.
		}
		if _, err := threshold(*into, 0); err != nil {
			return r, fmt.Errorf("evictionHard %s: %w", key, err)
		}
	}
	return r, nil
}

// threshold is a percentage of so many bytes, or a quantity, in bytes.
func threshold(value string, of int64) (int64, error) {
	if text, ok := strings.CutSuffix(value, "%"); ok {
		percent, err := strconv.ParseFloat(text, 64)
		if err == nil && !(percent >= 0 && percent <= 100) { // nor a NaN, which ParseFloat reads
			err = fmt.Errorf("%q is no share of a disk", value)
		}
		if err != nil {
			return 0, err
		}
		return int64(percent / 100 * float64(of)), nil
	}
	q, err := resource.ParseQuantity(value)
	if err == nil && q.Sign() < 0 {
		err = fmt.Errorf("%q is less than nothing", value)
	}
	return q.Value(), err
}

// judge refuses what does not fit, or leaves less than the kubelet's threshold for
// the node's own disk. It warns of what leaves less than that for images.
func (r reserve) judge(d disk) (warning string, err error) {
	if d.needs == 0 {
		return "", nil
	}
	left := d.free - d.needs
	text := fmt.Sprintf("%d MB or more are needed below %s, where %d of %d MB are free", d.needs>>20, d.dir, d.free>>20, d.total>>20)
	if left < 0 {
		return "", fmt.Errorf("%w: %s: %w", errNoRoom, text, syscall.ENOSPC)
	}
	// They were parsed before.
	nodefs, _ := threshold(r.nodefs, d.total)
	imagefs, _ := threshold(r.imagefs, d.total)
	if left < nodefs {
		return "", fmt.Errorf("%w: %s, and the kubelet evicts pods where less than %s are: %w", errNoRoom, text, r.nodefs, syscall.ENOSPC)
	}
	if below := max(imagefs, d.total*r.gcBelow/100); left < below {
		return fmt.Sprintf("%s; with less than %d MB the kubelet begins to remove images, or to evict pods", text, below>>20), nil
	}
	return "", nil
}

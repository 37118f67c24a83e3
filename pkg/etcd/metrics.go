package etcd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	// logSnapshots counts the snapshots of its log that a member has written to its disk since it was
	// started. https://etcd.io/docs/v3.6/metrics/
	logSnapshots = "etcd_snap_fsync_duration_seconds_count"
	// maxMetrics bounds what is read of a member's metrics, in bytes.
	maxMetrics = 8 << 20
)

// errTellsNot is a lasting answer: the member has no such metrics at this port.
var errTellsNot = errors.New("the member does not tell")

// logSnapshots asks a member, at its port for clients, how many snapshots of its log it has written since
// it was started. One that was told to answer HTTP elsewhere (--listen-client-http-urls) does not tell.
func (m endpoint) logSnapshots(ctx context.Context) (written uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := m.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("the metrics of %s: %w", m.url, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		if resp.StatusCode == http.StatusNotFound {
			return 0, fmt.Errorf("the metrics of %s: the answer is %d: %w", m.url, resp.StatusCode, errTellsNot)
		}
		return 0, fmt.Errorf("the metrics of %s: the answer is %d", m.url, resp.StatusCode)
	}
	return readCounter(io.LimitReader(resp.Body, maxMetrics), logSnapshots)
}

// readCounter reads one counter without labels of what is written for Prometheus.
// https://prometheus.io/docs/instrumenting/exposition_formats/
func readCounter(r io.Reader, name string) (uint64, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != name {
			continue
		}
		value, err := strconv.ParseFloat(fields[1], 64)
		if err != nil || value < 0 || value != float64(uint64(value)) {
			return 0, fmt.Errorf("%s is %q, and no count", name, fields[1])
		}
		return uint64(value), nil
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("there is no %s: %w", name, errTellsNot)
}

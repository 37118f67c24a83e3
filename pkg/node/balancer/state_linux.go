package balancer

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// askTimeout bounds the question to haproxy.
const askTimeout = 3 * time.Second

// store writes the state for ReadState, at once or not at all.
func (r *runner) store() {
	if r.program == nil {
		return
	}
	raw, err := json.Marshal(r.state)
	path := ReadyFile(r.Dir)
	if err == nil {
		err = errors.Join(os.WriteFile(path+".new", raw, 0o600), os.Rename(path+".new", path))
	}
	if err != nil {
		r.Log("keep the state: %v", err)
	}
}

// ReadState reads the state of the load balancer in dir, and asks how the apiservers
// are: haproxy, or for nginx the apiservers themselves.
func ReadState(ctx context.Context, dir, caFile string) (State, error) {
	var s State
	raw, err := os.ReadFile(ReadyFile(dir))
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return s, fmt.Errorf("the load balancer does not serve: %w", err)
	}
	if s.StatsSocket != "" {
		s.Health, err = askHAProxy(ctx, s.StatsSocket)
		return s, err
	}
	config, err := tlsConfig(caFile)
	if err != nil {
		return s, err
	}
	for _, b := range s.Backends {
		h := Health{Name: b.Name, Up: true, Streams: -1}
		if err := ready(ctx, config, b.endpoint(s.Settings.APIServerPort)); err != nil {
			h.Up, h.Reason = false, err.Error()
		}
		s.Health = append(s.Health, h)
	}
	return s, nil
}

// askHAProxy asks for its servers' state.
// https://docs.haproxy.org/2.6/management.html#9.3-show%20stat
func askHAProxy(ctx context.Context, socket string) ([]Health, error) {
	conn, err := (&net.Dialer{Timeout: askTimeout}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("ask haproxy: %w", err)
	}
	err = conn.SetDeadline(time.Now().Add(askTimeout))
	if err == nil {
		_, err = io.WriteString(conn, "show stat\n")
	}
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(conn, maxAnswer))
	}
	if err := errors.Join(err, conn.Close()); err != nil {
		return nil, fmt.Errorf("ask haproxy: %w", err)
	}
	return parseStats(string(text))
}

// parseStats reads haproxy's CSV.
func parseStats(text string) ([]Health, error) {
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# "))).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, errors.Join(errors.New("haproxy's statistics can't be read"), err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var out []Health
	for _, row := range rows[1:] {
		at := func(name string) string {
			i, ok := column[name]
			if !ok || i >= len(row) {
				return ""
			}
			return row[i]
		}
		name := at("svname")
		if at("pxname") != "apiservers" || name == "BACKEND" || strings.HasSuffix(name, unchecked) {
			continue
		}
		streams, err := strconv.Atoi(at("scur"))
		if err != nil {
			streams = -1
		}
		h := Health{Name: name, Up: strings.HasPrefix(at("status"), "UP"), Streams: streams}
		if !h.Up {
			h.Reason = strings.TrimSpace(at("check_status") + " " + at("last_chk"))
		}
		out = append(out, h)
	}
	if len(out) == 0 {
		return nil, errors.New("haproxy's statistics tell of no apiserver")
	}
	return out, nil
}

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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/localfile"
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
		err = localfile.Write(path, raw, 0o600)
	}
	if err != nil {
		r.Log("keep the state: %v", err)
	}
}

// ReadState reads the state of the load balancer in dir, and asks how the apiservers
// are: haproxy, or for nginx the apiservers themselves.
func ReadState(ctx context.Context, dir, caFile string) (State, error) {
	s, err := stored(dir)
	if err != nil {
		return s, err
	}
	for s.StatsSocket != "" {
		if s.Health, err = askHAProxy(ctx, s.StatsSocket); err == nil {
			return s, nil
		}
		// Another haproxy may have taken its place meanwhile.
		now, failed := stored(dir)
		if failed != nil || now.StatsSocket == s.StatsSocket {
			return s, err
		}
		s = now
	}
	config, err := tlsConfig(caFile)
	if err != nil {
		return s, err
	}
	for _, b := range s.Backends {
		h := Health{Name: b.Name, Up: true, Streams: -1, Seconds: -1}
		if err := Ready(ctx, config, b.endpoint(s.Settings.APIServerPort), checkTimeout); err != nil {
			h.Up, h.Reason = false, err.Error()
		} else if why := s.Down[b.Name]; why != "" {
			h.Up, h.Reason = false, "it answers, and gets connections again in a moment; it was out since: "+why
		}
		s.Health = append(s.Health, h)
	}
	return s, nil
}

// stored is the state as it was written last.
func stored(dir string) (State, error) {
	var s State
	raw, err := os.ReadFile(ReadyFile(dir))
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return s, fmt.Errorf("the load balancer does not serve: %w", err)
	}
	return s, nil
}

// askHAProxy asks for its servers' state.
// https://docs.haproxy.org/2.6/management.html#9.3-show%20stat
func askHAProxy(ctx context.Context, socket string) ([]Health, error) {
	text, err := tellHAProxy(ctx, socket, "show stat")
	if err != nil {
		return nil, err
	}
	return parseStats(text)
}

// endStreams has haproxy end the streams of an apiserver, with those that it got while all
// failed their checks.
// https://docs.haproxy.org/2.6/management.html#9.3-shutdown%20sessions%20server
func endStreams(ctx context.Context, socket, server string) error {
	var errs []error
	for _, name := range []string{server, server + unchecked} {
		text, err := tellHAProxy(ctx, socket, "shutdown sessions server apiservers/"+name)
		if err == nil && strings.TrimSpace(text) != "" {
			err = fmt.Errorf("end the streams of %s: haproxy says: %s", name, strings.TrimSpace(text))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// tellHAProxy says one line to haproxy, and returns its answer.
func tellHAProxy(ctx context.Context, socket, line string) (string, error) {
	conn, err := (&net.Dialer{Timeout: askTimeout}).DialContext(ctx, "unix", socket)
	if err != nil {
		return "", fmt.Errorf("ask haproxy: %w", err)
	}
	err = conn.SetDeadline(time.Now().Add(askTimeout))
	if err == nil {
		_, err = io.WriteString(conn, line+"\n")
	}
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(conn, maxAnswer))
	}
	if err := errors.Join(err, conn.Close()); err != nil {
		return "", fmt.Errorf("ask haproxy: %w", err)
	}
	return string(text), nil
}

// number reads a number of haproxy's; -1 when there is none.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// parseStats reads haproxy's CSV. The streams that an apiserver got while all failed their
// checks count as its own.
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
		if at("pxname") != "apiservers" || name == "BACKEND" {
			continue
		}
		if base, ok := strings.CutSuffix(name, unchecked); ok {
			i := slices.IndexFunc(out, func(h Health) bool { return h.Name == base })
			if more := number(at("scur")); i >= 0 && out[i].Streams >= 0 && more > 0 {
				out[i].Streams += more
			}
			continue
		}
		h := Health{Name: name, Up: strings.HasPrefix(at("status"), "UP"), Streams: number(at("scur")), Seconds: number(at("lastchg"))}
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

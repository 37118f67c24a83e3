package vip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
)

// prober looks at the local apiserver over one connection that it keeps.
type prober struct {
	url    string
	caFile string

	caTime time.Time
	client *http.Client
}

func newProber(cfg WatchConfig) *prober {
	return &prober{url: "https://" + net.JoinHostPort(cfg.Address, strconv.Itoa(int(cfg.Port))) + "/readyz", caFile: cfg.CAFile}
}

// look asks /readyz once. The error says what was wrong, for the log.
func (p *prober) look(ctx context.Context) (observation, error) {
	if err := p.trust(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return absent, errors.New("there is no cluster CA yet")
		}
		return troubled, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return troubled, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return classify(err), err
	}
	// Read to the end, else the connection can't be used again.
	_, readErr := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if err := errors.Join(readErr, resp.Body.Close()); err != nil {
		return classify(err), err
	}
	return judge(resp.StatusCode)
}

// judge takes an apiserver that knows no strangers for alive: it does its work.
func judge(status int) (observation, error) {
	switch status {
	case http.StatusOK, http.StatusUnauthorized, http.StatusForbidden:
		return alive, nil
	}
	return troubled, fmt.Errorf("/readyz answers %d", status)
}

// classify tells a dead process from one in trouble. Whatever is not known to
// mean death is trouble, which takes the address from nobody who is alone.
func classify(err error) observation {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return absent
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return cut
	}
	return troubled
}

// trust reads the cluster's CA, anew when the file has changed.
func (p *prober) trust() error {
	info, err := os.Stat(p.caFile)
	if err != nil {
		return err
	}
	if p.client != nil && info.ModTime().Equal(p.caTime) {
		return nil
	}
	pem, err := os.ReadFile(p.caFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s is not a PEM certificate", p.caFile)
	}
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
	p.caTime = info.ModTime()
	p.client = &http.Client{
		Transport: &http.Transport{
			// No Proxy: this is a look at one's own host.
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DialContext:         (&net.Dialer{Timeout: requestTimeout}).DialContext,
			MaxIdleConnsPerHost: 1,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

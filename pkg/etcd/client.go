package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// askTimeout bounds one question to one member.
const askTimeout = 3 * time.Second

// TLS is a client's identity for etcd, PEM.
type TLS struct {
	CA, Cert, Key []byte
}

// Client talks to the members of one cluster, each through its own endpoint,
// so that an answer is always the asked member's own.
type Client struct {
	members []endpoint
}

type endpoint struct {
	url    string
	client *clientv3.Client
	// http is for what members tell there only.
	http *http.Client
}

// Connect prepares to talk to the members at the endpoints (https://address:2379).
// It does not wait for any of them: one that is away shows in Status.
func Connect(ctx context.Context, endpoints []string, id TLS) (*Client, error) {
	return ConnectVia(ctx, endpoints, id, nil)
}

// Dial connects to host:port.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// ConnectVia is Connect by a way of the caller's, such as a tunnel through a host
// that reaches the members; nil for the direct one.
func ConnectVia(ctx context.Context, endpoints []string, id TLS, dial Dial) (*Client, error) {
	if len(endpoints) == 0 {
		return nil, errors.New("connect to etcd: there is no endpoint")
	}
	config, err := id.config()
	if err != nil {
		return nil, err
	}
	var options []grpc.DialOption
	if dial != nil {
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return dial(ctx, "tcp", address)
		}))
	}
	// No Proxy: these are the cluster's own hosts.
	asks := &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone(), DialContext: dial}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c := &Client{}
	for _, url := range endpoints {
		if !strings.HasPrefix(url, "https://") {
			return nil, errors.Join(fmt.Errorf("connect to etcd: %q is not an https URL", url), c.Close())
		}
		client, err := clientv3.New(clientv3.Config{
			Endpoints: []string{url},
			TLS:       config.Clone(),
			// Whoever waits asks again; the library's own retries would only hide what is wrong.
			MaxUnaryRetries:      1,
			DialTimeout:          askTimeout,
			DialKeepAliveTime:    10 * time.Second,
			DialKeepAliveTimeout: askTimeout,
			Context:              ctx,
			DialOptions:          options,
			Logger:               zap.NewNop(),
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("connect to etcd at %s: %w", url, err), c.Close())
		}
		c.members = append(c.members, endpoint{url: url, client: client, http: asks})
	}
	return c, nil
}

func (id TLS) config() (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(id.CA) {
		return nil, errors.New("connect to etcd: the CA is not a PEM certificate")
	}
	pair, err := tls.X509KeyPair(id.Cert, id.Key)
	if err != nil {
		return nil, fmt.Errorf("connect to etcd: the client's certificate and key: %w", err)
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// Close ends all connections.
func (c *Client) Close() error {
	var errs []error
	for _, m := range c.members {
		m.http.CloseIdleConnections()
		if err := m.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("close the connection to %s: %w", m.url, err))
		}
	}
	return errors.Join(errs...)
}

// View asks everything that Healthy judges.
func (c *Client) View(ctx context.Context) View {
	v := View{Status: c.Status(ctx)}
	v.Members, v.MembersErr = c.Members(ctx)
	return v
}

// Status asks each endpoint, at the same time, what it is. An endpoint that
// does not answer within three seconds has an Err.
func (c *Client) Status(ctx context.Context) []MemberStatus {
	out := make([]MemberStatus, len(c.members))
	var all sync.WaitGroup
	for i, m := range c.members {
		all.Go(func() { out[i] = m.status(ctx) })
	}
	all.Wait()
	return out
}

func (m endpoint) status(ctx context.Context) MemberStatus {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	got, err := m.client.Status(ctx, m.url)
	if err != nil {
		return MemberStatus{Endpoint: m.url, Err: short(err)}
	}
	s := MemberStatus{
		Endpoint:  m.url,
		ClusterID: got.Header.GetClusterId(), ID: got.Header.GetMemberId(), Leader: got.Leader,
		Version: got.Version, Learner: got.IsLearner, DBBytes: got.DbSize, InUseBytes: got.DbSizeInUse, RaftIndex: got.RaftIndex,
		Applied: got.RaftAppliedIndex, QuotaBytes: got.DbSizeQuota, StorageVersion: got.StorageVersion,
	}
	if d := got.DowngradeInfo; d != nil && d.Enabled {
		s.DowngradeTo = d.TargetVersion
	}
	if got.Leader == 0 {
		// Without a leader the alarms can't be asked for.
		return s
	}
	list, err := m.client.AlarmList(ctx)
	if err != nil {
		return MemberStatus{Endpoint: m.url, Err: fmt.Errorf("ask for alarms: %w", short(err))}
	}
	for _, a := range list.Alarms {
		s.Alarms = append(s.Alarms, Alarm{MemberID: a.MemberID, Kind: a.Alarm.String()})
	}
	return s
}

// Members reads the cluster's own list of members from the first endpoint that
// can tell; it takes a quorum to do so.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	var last error
	for _, m := range c.members {
		list, err := m.list(ctx)
		if err == nil {
			return list, nil
		}
		last = fmt.Errorf("%s: %w", m.url, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

func (m endpoint) list(ctx context.Context) ([]Member, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	got, err := m.client.MemberList(ctx)
	if err != nil {
		return nil, short(err)
	}
	out := make([]Member, 0, len(got.Members))
	for _, x := range got.Members {
		out = append(out, Member{ID: x.ID, Name: x.Name, PeerURLs: x.PeerURLs, ClientURLs: x.ClientURLs, Learner: x.IsLearner})
	}
	return out, nil
}

// short replaces the library's wording of an unanswered question.
func short(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", askTimeout)
	}
	return err
}

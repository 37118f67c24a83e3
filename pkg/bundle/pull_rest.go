package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/containers/image/v5/types"
	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// errNoRest says that a source gives blobs from their beginning only.
var errNoRest = errors.New("the source gives whole blobs only")

// restOf asks a registry for a blob's bytes from the offset on; from is where what it sends
// begins: there, or at 0 when it knows no ranges. Anything that keeps it from that and will
// not be over in a moment gives an error that is not transient, and the blob is then read
// from its beginning.
//
// containers/image has this for its own use only. So the request is made here, with the login
// that the image was opened with. What it does not know is containers-registries.conf's mirrors
// and certs.d's certificates: where the registry can't be had without, the answer is an error too.
func (p *puller) restOf(ctx context.Context, source types.ImageSource, info types.BlobInfo, offset int64) (r io.ReadCloser, from int64, err error) {
	named := source.Reference().DockerReference()
	if named == nil {
		return nil, 0, errNoRest
	}
	login, err := p.logins.find(ctx, named)
	if err != nil {
		return nil, 0, err
	}
	var options []name.Option
	if p.withoutTLS(reference.Domain(named)) {
		options = append(options, name.Insecure)
	}
	repo, err := name.NewRepository(named.Name(), options...)
	if err != nil {
		return nil, 0, errors.Join(errNoRest, err)
	}
	auth := authn.FromConfig(authn.AuthConfig{Username: login.Username, Password: login.Password, IdentityToken: login.IdentityToken})
	if login == (types.DockerAuthConfig{}) {
		auth = authn.Anonymous
	}
	trip, err := transport.NewWithContext(ctx, repo.Registry, auth, transport.NewUserAgent(http.DefaultTransport, p.system.DockerRegistryUserAgent),
		[]string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, 0, registryError(err)
	}
	where := url.URL{Scheme: repo.Scheme(), Host: repo.RegistryStr(), Path: "/v2/" + repo.RepositoryStr() + "/blobs/" + info.Digest.String()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	want := fmt.Sprintf("bytes=%d-", offset)
	req.Header.Set("Range", want)
	res, err := (&http.Client{Transport: trip}).Do(req)
	if err != nil {
		return nil, 0, err
	}
	// bytes 5-9/10: https://www.rfc-editor.org/rfc/rfc9110#name-content-range
	begins := fmt.Sprintf("bytes %d-", offset)
	switch {
	case res.StatusCode == http.StatusPartialContent && strings.HasPrefix(res.Header.Get("Content-Range"), begins):
		return res.Body, offset, nil
	case res.StatusCode == http.StatusOK:
		return res.Body, 0, nil
	}
	_ = res.Body.Close() // What it says is not read.
	if res.StatusCode == http.StatusPartialContent {
		return nil, 0, fmt.Errorf("%w: asked for %s it sends %q", errNoRest, want, res.Header.Get("Content-Range"))
	}
	return nil, 0, &statusError{url: where.Redacted(), status: res.Status, code: res.StatusCode}
}

// registryError makes an answer of a registry's what transient knows.
func registryError(err error) error {
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode != 0 {
		return errors.Join(err, &statusError{url: "the registry", status: http.StatusText(answer.StatusCode), code: answer.StatusCode})
	}
	return err
}

// withoutTLS tells whether a registry is a mirror that was named with http://.
func (p *puller) withoutTLS(domain string) bool {
	if p.host == domain {
		return p.plain
	}
	for _, prefix := range p.mirrors {
		if at, plain := strings.CutPrefix(prefix, "http://"); plain && strings.SplitN(at, "/", 2)[0] == domain {
			return true
		}
	}
	return false
}

// Package proxy passes a request on to the service that owns its route and
// streams the answer back. It refuses to interpret either: bodies are not
// decoded, answers are not changed, redirects are not followed.
package proxy

import (
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// Service names a service of the suite, as messages to callers do.
type Service string

// The services behind the gateway.
const (
	Registry  Service = "registry"
	Catalog   Service = "flow-catalog"
	Scheduler Service = "scheduler"
	Queue     Service = "queue-gateway"
)

// Backend is one service as the gateway reaches it.
type Backend struct {
	service   Service
	base      *url.URL
	transport http.RoundTripper
	buffers   *buffers
}

// NewBackend makes the backend of a service at base. A nil transport is
// net/http's default.
func NewBackend(service Service, base *url.URL, transport http.RoundTripper) *Backend {
	return &Backend{service: service, base: base, transport: transport, buffers: newBuffers()}
}

// flushAtOnce makes every write of the service reach the caller as it comes,
// so that long answers and event streams are not held back.
const flushAtOnce = -1

// Forward passes a request on. It fails with errs.Unavailable when the service
// cannot be reached, and with errs.BodyTooLarge before a byte is sent when the
// caller announces a body over the limit.
func (b *Backend) Forward(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength > httpx.MaxBody {
		return errs.New(errs.BodyTooLarge, "the body is over %d bytes", httpx.MaxBody)
	}
	r, err := hold(r)
	if err != nil {
		return err
	}
	var failed error
	proxy := httputil.ReverseProxy{
		Rewrite:        b.rewrite,
		Transport:      b.transport,
		FlushInterval:  flushAtOnce,
		BufferPool:     b.buffers,
		ModifyResponse: keepOwnRequestID,
		ErrorHandler:   func(_ http.ResponseWriter, _ *http.Request, err error) { failed = b.explain(err) },
	}
	proxy.ServeHTTP(w, r)
	return failed
}

// rewrite addresses the request to the service. The path has matched a route
// of the table, so nothing of the caller's making chooses where it goes; the
// query is kept as it was sent, for the service to judge.
func (b *Backend) rewrite(pr *httputil.ProxyRequest) {
	pr.Out.URL.Scheme = b.base.Scheme
	pr.Out.URL.Host = b.base.Host
	pr.Out.URL.Path = strings.TrimRight(b.base.Path, "/") + strings.TrimPrefix(pr.In.URL.Path, "/api")
	pr.Out.URL.RawPath = ""
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	pr.Out.Host = ""
	pr.Out.Header.Set(httpx.HeaderRequestID, httpx.RequestID(pr.In.Context()))
	// The gateway itself answers an Expect: a service's 100 passed on would be
	// taken for the answer's status.
	pr.Out.Header.Del("Expect")
	tracing.Send(pr.In.Context(), pr.Out.Header)
	pr.SetXForwarded()
	unwrap(pr.Out)
}

// keepOwnRequestID drops the service's copy of the request id: the gateway's
// router has set it on the answer, and the proxy adds headers to those.
func keepOwnRequestID(resp *http.Response) error {
	resp.Header.Del(httpx.HeaderRequestID)
	return nil
}

func (b *Backend) explain(err error) error {
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return err // the router answers it as 413
	}
	return errs.Wrap(err, errs.Unavailable, "the %s cannot be reached", b.service)
}

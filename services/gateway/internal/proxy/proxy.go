// Package proxy passes a request on to the service that owns its route and
// streams the answer back; to a service of this process by a call. It refuses to interpret either: bodies are not
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
	local     http.Handler // of a service of this process; else nil
}

// Local is a transport that knows the handlers of some hosts, those of services
// in this process.
type Local interface {
	// Handler is nil for hosts elsewhere.
	Handler(host string) http.Handler
}

// NewBackend makes the backend of a service at base. A nil transport is
// net/http's default.
func NewBackend(service Service, base *url.URL, transport http.RoundTripper) *Backend {
	b := &Backend{service: service, base: base, transport: transport, buffers: newBuffers()}
	if near, ok := transport.(Local); ok {
		b.local = near.Handler(base.Host)
	}
	return b
}

// flushAtOnce makes every write of the service reach the caller as it comes,
// so that long answers and event streams are not held back.
const flushAtOnce = -1

// Forward passes a request on. It fails with errs.Unavailable when the service
// cannot be reached, and with errs.BodyTooLarge before a byte is sent when the
// caller announces a body over the limit.
func (b *Backend) Forward(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength > httpx.MaxBody {
		hearOut(r)
		return errs.New(errs.BodyTooLarge, "the body is over %d bytes", httpx.MaxBody)
	}
	if b.local != nil {
		b.local.ServeHTTP(w, b.within(r))
		return nil
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
	pr.Out.URL.Path = strings.TrimRight(b.base.Path, "/") + bare(pr.In.URL)
	pr.Out.URL.RawPath = ""
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	pr.Out.Host = ""
	name(pr.Out, pr.In)
	// The gateway itself answers an Expect: a service's 100 passed on would be
	// taken for the answer's status.
	pr.Out.Header.Del("Expect")
	pr.SetXForwarded()
	unwrap(pr.Out)
}

// within is the request as a service of this process gets it.
func (b *Backend) within(in *http.Request) *http.Request {
	out := in.WithContext(httpx.WithinProcess(in.Context()))
	to := *in.URL
	to.Scheme, to.Host, to.Path, to.RawPath = b.base.Scheme, b.base.Host, bare(in.URL), ""
	out.URL, out.Host, out.Header = &to, b.base.Host, in.Header.Clone()
	name(out, in)
	return out
}

// bare is the path without the prefix that every documented route may have.
func bare(u *url.URL) string { return strings.TrimPrefix(u.Path, "/api") }

// name hands the request's id and trace on.
func name(out, in *http.Request) {
	out.Header.Set(httpx.HeaderRequestID, httpx.RequestID(in.Context()))
	tracing.Send(in.Context(), out.Header)
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

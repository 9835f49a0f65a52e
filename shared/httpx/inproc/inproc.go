// Package inproc carries HTTP between handlers of one process without a
// socket: the all-in-one server's clients use it and are otherwise the very
// clients that separate processes use. Bodies stream in both directions, and
// flushes reach the reader.
package inproc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// Transport routes requests to handlers by host name. Set it up with Handle
// before the first request.
type Transport struct {
	mu       sync.RWMutex
	handlers map[string]http.Handler
	fallback http.RoundTripper
}

// NewTransport makes a transport; requests to hosts that have no handler go
// to fallback.
func NewTransport(fallback http.RoundTripper) *Transport {
	return &Transport{handlers: map[string]http.Handler{}, fallback: fallback}
}

// Handle sends requests for the host ("registry.inproc") to h.
func (t *Transport) Handle(host string, h http.Handler) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handlers[host] = h
}

// RoundTrip implements http.RoundTripper. It returns when the handler has
// written its header; the handler goes on while the body is read, and sees its
// context end when the reader closes the body early.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.mu.RLock()
	h := t.handlers[req.URL.Host]
	t.mu.RUnlock()
	if h == nil {
		return t.fallback.RoundTrip(req)
	}
	return roundTrip(h, req)
}

func roundTrip(h http.Handler, req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	in := req.Clone(httpx.WithinProcess(ctx))
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	w := &response{header: http.Header{}, body: writer, ready: make(chan struct{})}
	go w.serve(h, in)
	select {
	case <-w.ready:
	case <-req.Context().Done():
		cancel()
		_ = reader.CloseWithError(req.Context().Err())
		return nil, fmt.Errorf("call %s: %w", req.URL.Host, req.Context().Err())
	}
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.sent,
		Body:          &body{PipeReader: reader, cancel: cancel},
		ContentLength: -1,
		Request:       req,
	}, nil
}

// body is the reader's side. Closing it ends the handler's context, as hanging
// up does on a wire.
type body struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *body) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// response is the handler's side. The header is snapshot when it is written,
// as on a wire, so the reader never shares a map with the handler.
type response struct {
	header http.Header
	sent   http.Header
	status int
	body   *io.PipeWriter
	ready  chan struct{}
	once   sync.Once
}

func (w *response) serve(h http.Handler, r *http.Request) {
	defer func() {
		_ = r.Body.Close()
		if p := recover(); p != nil {
			w.WriteHeader(http.StatusInternalServerError)
			_ = w.body.CloseWithError(fmt.Errorf("handler aborted: %v", p))
			return
		}
		w.WriteHeader(http.StatusOK)
		_ = w.body.Close()
	}()
	h.ServeHTTP(w, r)
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	w.once.Do(func() {
		w.status = status
		w.sent = w.header.Clone()
		close(w.ready)
	})
}

func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// Flush sends the header; the pipe hands on every write as it comes.
func (w *response) Flush() { w.WriteHeader(http.StatusOK) }

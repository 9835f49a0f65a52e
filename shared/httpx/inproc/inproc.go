// Package inproc carries HTTP between handlers of one process without a
// socket: the all-in-one server's clients use it and are otherwise the very
// clients that separate processes use. Bodies stream in both directions, and
// flushes reach the reader; an answer that is small and not flushed comes whole.
package inproc

import (
	"bytes"
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

// Handler is the handler of a host, for callers that have a ResponseWriter to
// give it; nil when the host is none of this process.
func (t *Transport) Handler(host string) http.Handler {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.handlers[host]
}

// RoundTrip implements http.RoundTripper. It returns when the handler has
// ended, has flushed, or has written more than is kept. From then on the handler
// goes on while the body is read, and sees its context end when the reader
// closes the body early.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	h := t.Handler(req.URL.Host)
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
	w := &response{header: http.Header{}, ready: make(chan struct{})}
	go w.serve(h, in)
	select {
	case <-w.ready:
	case <-req.Context().Done():
		cancel()
		w.abandon(req.Context().Err())
		return nil, fmt.Errorf("call %s: %w", req.URL.Host, req.Context().Err())
	}
	answer := &http.Response{
		Status:        fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.sent,
		ContentLength: -1,
		Request:       req,
	}
	if w.reader != nil {
		answer.Body = &body{PipeReader: w.reader, cancel: cancel}
		return answer, nil
	}
	cancel()
	answer.ContentLength = int64(len(w.kept))
	answer.Body = io.NopCloser(bytes.NewReader(w.kept))
	return answer, nil
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

// maxKept is the largest answer that is kept until the handler ends: nearly all
// are smaller, and a pipe costs the two sides a switch for every write.
const maxKept = 16 << 10

// response is the handler's side. The header is snapshot when it is written,
// as on a wire, so the reader never shares a map with the handler.
type response struct {
	header http.Header
	sent   http.Header // nil until it is written
	status int
	kept   []byte
	writer *io.PipeWriter // once the answer streams
	ready  chan struct{}  // closed: the answer is whole, or streams from reader

	mu     sync.Mutex
	reader *io.PipeReader // nil while the answer is kept
	left   error          // why the caller waits no longer
}

func (w *response) serve(h http.Handler, r *http.Request) {
	defer func() {
		_ = r.Body.Close()
		if p := recover(); p != nil {
			w.abort(fmt.Errorf("handler aborted: %v", p))
			return
		}
		w.WriteHeader(http.StatusOK)
		if w.writer != nil {
			_ = w.writer.Close()
			return
		}
		close(w.ready)
	}()
	h.ServeHTTP(w, r)
}

// abort ends an answer that has begun with an error, as a connection that
// breaks does.
func (w *response) abort(cause error) {
	begun := w.sent != nil
	w.WriteHeader(http.StatusInternalServerError)
	w.Flush()
	if begun {
		_ = w.writer.CloseWithError(cause)
		return
	}
	_ = w.writer.Close()
}

// abandon lets the handler write no more than what is kept.
func (w *response) abandon(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = cause
	if w.reader != nil {
		_ = w.reader.CloseWithError(cause)
	}
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.sent == nil {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.writer == nil && len(w.kept)+len(p) <= maxKept {
		w.kept = append(w.kept, p...)
		return len(p), nil
	}
	w.Flush()
	return w.writer.Write(p)
}

// Flush sends what is there; from then on the pipe hands on every write as it
// comes.
func (w *response) Flush() {
	if w.writer != nil {
		return
	}
	w.WriteHeader(http.StatusOK)
	reader, writer := io.Pipe()
	w.mu.Lock()
	w.reader, w.writer = reader, writer
	if w.left != nil {
		_ = reader.CloseWithError(w.left)
	}
	w.mu.Unlock()
	close(w.ready)
	if len(w.kept) > 0 {
		_, _ = writer.Write(w.kept) // the next write tells that the reader has gone
	}
}

package proxy

import (
	"bytes"
	"io"
	"net/http"

	"github.com/pocketflowgo/pocketflow/shared/errs"
)

// maxHeld is the largest body that is in memory before it is passed on: more
// than nearly all requests have, and little for many of them at once.
const maxHeld = 64 << 10

// hold gives the request with its body in memory if that is small. A service
// that stops closes its idle connections, and what is written to one just then
// never reaches it. The transport sends such a request again by another
// connection, but only with a body that it can have again. Besides, head and
// body then go out in one piece.
//
// The transport takes an idempotency key for leave to repeat a request also when
// the service may have acted on it. So one with a key is held only where the
// service looks at the key: where tasks are created.
func hold(r *http.Request) (*http.Request, error) {
	if r.ContentLength <= 0 || r.ContentLength > maxHeld || hasIdempotencyKey(r.Header) && !createsTask(r) {
		return r, nil
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, errs.Wrap(err, errs.MalformedBody, "the body broke off")
	}
	held := r.WithContext(r.Context())
	held.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return held, nil
}

// hearOut reads of a body that is refused as much as of one that is not. Many
// clients read no answer before they have sent everything: they would find the
// connection broken, and try again. One that waits for leave to send is not
// given it.
func hearOut(r *http.Request) {
	if r.Header.Get("Expect") == "" {
		_, _ = io.Copy(io.Discard, r.Body) // up to the route's limit
	}
}

// hasIdempotencyKey knows the names that net/http knows.
func hasIdempotencyKey(header http.Header) bool {
	_, has := header["Idempotency-Key"]
	_, hasOld := header["X-Idempotency-Key"]
	return has || hasOld
}

func createsTask(r *http.Request) bool { return bare(r.URL) == "/tasks" }

// unwrap gives the outgoing request its held body in place of the proxy's
// wrapper, in which the transport does not see that it is in memory.
func unwrap(out *http.Request) {
	if out.GetBody != nil {
		out.Body, _ = out.GetBody()
	}
}

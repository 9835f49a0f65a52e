package proxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/gateway/internal/proxy"
	"github.com/pocketflowgo/pocketflow/shared/errs"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// forward passes a request on and tells what the transport got: the body, and
// whether it can be had again.
func forward(t *testing.T, r *http.Request) (body string, again bool, err error) {
	t.Helper()
	backend := proxy.NewBackend(proxy.Scheduler, &url.URL{Scheme: "http", Host: "scheduler"}, roundTrip(
		func(r *http.Request) (*http.Response, error) {
			data, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			body = string(data)
			if again = r.GetBody != nil; again {
				second, err := r.GetBody()
				require.NoError(t, err)
				repeated, err := io.ReadAll(second)
				require.NoError(t, err)
				require.Equal(t, data, repeated)
			}
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
		}))
	err = backend.Forward(httptest.NewRecorder(), r)
	return body, again, err
}

func incoming(t *testing.T, body io.Reader) *http.Request {
	t.Helper()
	return httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/tasks", body)
}

func TestForward_CanSendASmallBodyAgain(t *testing.T) {
	t.Parallel()
	body, again, err := forward(t, incoming(t, strings.NewReader(`{"flow_id":"flow-1"}`)))
	require.NoError(t, err)
	require.JSONEq(t, `{"flow_id":"flow-1"}`, body)
	require.True(t, again)
}

func TestForward_StreamsWhatIsLargeOrOfUnknownSize(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 64<<10+1)
	for _, reader := range []io.Reader{strings.NewReader(large), io.MultiReader(strings.NewReader(large))} {
		body, again, err := forward(t, incoming(t, reader))
		require.NoError(t, err)
		require.Equal(t, large, body)
		require.False(t, again)
	}
}

// The transport would repeat it also when the service may have acted on it.
func TestForward_SendsAgainWithAnIdempotencyKeyOnlyWhereItCounts(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{"/tasks": true, "/api/tasks": true, "/tasks/signal": false, "/flows": false} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("a body"))
		r.Header.Set("Idempotency-Key", "k")
		body, again, err := forward(t, r)
		require.NoError(t, err)
		require.Equal(t, "a body", body)
		require.Equal(t, want, again, path)
	}
}

func TestForward_SendsNothingOfABodyThatBrokeOff(t *testing.T) {
	t.Parallel()
	r := incoming(t, strings.NewReader("{"))
	r.ContentLength = 100
	body, _, err := forward(t, r)
	var e *errs.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, errs.MalformedBody, e.Code)
	require.Empty(t, body)
}

// writes counts the packets that a connection sends, more or less.
type writes struct {
	net.Conn
	count *atomic.Int64
}

func (w writes) Write(data []byte) (int, error) {
	w.count.Add(1)
	return w.Conn.Write(data)
}

func TestForward_SendsHeadAndSmallBodyInOnePiece(t *testing.T) {
	t.Parallel()
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	t.Cleanup(back.Close)
	target, err := url.Parse(back.URL)
	require.NoError(t, err)
	var count atomic.Int64
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return writes{Conn: conn, count: &count}, err
	}}
	t.Cleanup(transport.CloseIdleConnections)

	answer := httptest.NewRecorder()
	require.NoError(t, proxy.NewBackend(proxy.Scheduler, target, transport).Forward(answer, incoming(t, strings.NewReader("{}"))))
	require.Equal(t, "{}", answer.Body.String())
	require.EqualValues(t, 1, count.Load())
}

package inproc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/httpx/inproc"
)

const host = "there.inproc"

func serve(h http.HandlerFunc) *inproc.Transport {
	transport := inproc.NewTransport(http.DefaultTransport)
	transport.Handle(host, h)
	return transport
}

func call(ctx context.Context, t *testing.T, h http.HandlerFunc) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/path?q=1", strings.NewReader("in"))
	require.NoError(t, err)
	return serve(h).RoundTrip(req)
}

func TestRoundTrip_GivesASmallAnswerWhole(t *testing.T) {
	t.Parallel()
	resp, err := call(t.Context(), t, func(w http.ResponseWriter, r *http.Request) {
		in, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Before", "1")
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("X-After", "1")
		_, _ = io.WriteString(w, r.URL.Path+"?"+r.URL.RawQuery)
		_, _ = w.Write(in)
	})
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusTeapot, resp.StatusCode)
	require.Equal(t, "1", resp.Header.Get("X-Before"))
	require.Empty(t, resp.Header.Get("X-After"), "the header was written before")
	require.EqualValues(t, len("/path?q=1in"), resp.ContentLength)
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "/path?q=1in", string(data))
}

func TestRoundTrip_StreamsWhatIsLarge(t *testing.T) {
	t.Parallel()
	piece := strings.Repeat("x", 10_000)
	resp, err := call(t.Context(), t, func(w http.ResponseWriter, _ *http.Request) {
		for range 5 {
			_, _ = io.WriteString(w, piece)
		}
	})
	require.NoError(t, err)
	defer resp.Body.Close()
	require.EqualValues(t, -1, resp.ContentLength)
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat(piece, 5), string(data))
}

func TestRoundTrip_HandsOnWhatIsFlushedWhileTheHandlerGoesOn(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	resp, err := call(t.Context(), t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-read
		_, _ = io.WriteString(w, "second")
	})
	require.NoError(t, err)
	defer resp.Body.Close()
	first := make([]byte, len("first"))
	_, err = io.ReadFull(resp.Body, first)
	require.NoError(t, err)
	require.Equal(t, "first", string(first))
	close(read)
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "second", string(rest))
}

func TestRoundTrip_EndsTheHandlersContextWhenTheReaderHangsUp(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	resp, err := call(t.Context(), t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		_, err := io.WriteString(w, "too late")
		ended <- err
	})
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Error(t, <-ended)
}

func TestRoundTrip_LeavesAHandlerWhoseCallerHasGone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	_, err := call(ctx, t, func(w http.ResponseWriter, r *http.Request) { //nolint:bodyclose // there is none
		cancel(errors.New("enough"))
		<-r.Context().Done()
		_, err := io.WriteString(w, strings.Repeat("x", 1<<20))
		ended <- err
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Error(t, <-ended, "it is not left to wait for a reader")
}

func TestRoundTrip_TellsOfAHandlerThatPanics(t *testing.T) {
	t.Parallel()
	resp, err := call(t.Context(), t, func(http.ResponseWriter, *http.Request) { panic("a bug") })
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	require.NoError(t, resp.Body.Close())

	resp, err = call(t.Context(), t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic("a bug")
	})
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.ErrorContains(t, err, "a bug")
	require.Equal(t, "half", string(data))
}

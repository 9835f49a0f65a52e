package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/gateway/internal/proxy"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// setup serves GET and POST /flows in front of a service that is the handler.
func setup(t *testing.T, service http.HandlerFunc) string {
	t.Helper()
	back := httptest.NewServer(service)
	t.Cleanup(back.Close)
	return front(t, back.URL)
}

func front(t *testing.T, base string) string {
	t.Helper()
	target, err := url.Parse(base)
	require.NoError(t, err)
	backend := proxy.NewBackend(proxy.Catalog, target, http.DefaultTransport)
	router, err := httpx.NewRouter(httpx.Deps{Log: zap.NewNop()}, []httpx.Route{
		{Method: http.MethodGet, Path: "/flows", Handler: backend.Forward},
		{Method: http.MethodPost, Path: "/flows", Handler: backend.Forward},
	})
	require.NoError(t, err)
	server := httptest.NewServer(router)
	t.Cleanup(server.Close)
	return server.URL
}

type answer struct {
	status int
	header http.Header
	body   string
}

func do(t *testing.T, req *http.Request) answer {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

func request(t *testing.T, method, target string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	require.NoError(t, err)
	return req
}

func TestForward_PassesPathQueryAndBodyOn(t *testing.T) {
	t.Parallel()
	base := setup(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, r.URL.Path+"|"+r.URL.RawQuery+"|"+string(body))
	})
	// The semicolon makes the query malformed: that is for the service to say.
	got := do(t, request(t, http.MethodPost, base+"/api/flows?a=1;b=%zz", strings.NewReader("{}")))
	require.Equal(t, http.StatusTeapot, got.status)
	require.Equal(t, "/flows|a=1;b=%zz|{}", got.body)
}

func TestForward_HandsOneRequestIDOn(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	base := setup(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get(httpx.HeaderRequestID)
		w.Header().Set(httpx.HeaderRequestID, "the services own")
	})
	req := request(t, http.MethodGet, base+"/flows", http.NoBody)
	req.Header.Set(httpx.HeaderRequestID, "abc")
	got := do(t, req)
	require.Equal(t, "abc", <-seen)
	require.Equal(t, []string{"abc"}, got.header.Values(httpx.HeaderRequestID))
}

func TestForward_ReplacesForwardedHeadersAndDropsHopHeaders(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	base := setup(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })
	req := request(t, http.MethodGet, base+"/flows", http.NoBody)
	req.Header.Set("X-Forwarded-For", "6.6.6.6")
	req.Header.Set("Connection", "X-Secret")
	req.Header.Set("X-Secret", "for this hop only")
	do(t, req)
	forwarded := <-seen
	require.Equal(t, "127.0.0.1", forwarded.Get("X-Forwarded-For"))
	require.Empty(t, forwarded.Get("X-Secret"))
}

func TestForward_StreamsEachWriteAtOnce(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	base := setup(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-release
		_, _ = io.WriteString(w, "second\n")
	})
	resp, err := http.DefaultTransport.RoundTrip(request(t, http.MethodGet, base+"/flows", http.NoBody))
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	require.True(t, lines.Scan())
	require.Equal(t, "first", lines.Text())
	close(release) // only now may the service go on
	require.True(t, lines.Scan())
	require.Equal(t, "second", lines.Text())
}

func TestForward_EndsTheServicesRequestWhenTheCallerLeaves(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	base := setup(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(ended)
	})
	resp, err := http.DefaultTransport.RoundTrip(request(t, http.MethodGet, base+"/flows", http.NoBody))
	require.NoError(t, err)
	resp.Body.Close()
	<-ended
}

func TestForward_DoesNotFollowRedirects(t *testing.T) {
	t.Parallel()
	base := setup(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
	})
	got := do(t, request(t, http.MethodGet, base+"/flows", http.NoBody))
	require.Equal(t, http.StatusFound, got.status)
}

func TestForward_NamesTheServiceThatIsAway(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	got := do(t, request(t, http.MethodGet, front(t, gone.URL)+"/flows", http.NoBody))
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	require.Contains(t, got.body, `"code":"unavailable"`)
	require.Contains(t, got.body, `"detail":"the flow-catalog cannot be reached"`)
	require.NotContains(t, got.body, "127.0.0.1", "addresses of services are not for callers")
}

func TestForward_RefusesBodiesOverTheLimit(t *testing.T) {
	t.Parallel()
	base := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusOK)
	})
	for name, body := range map[string]io.Reader{
		"announced": strings.NewReader(strings.Repeat("x", httpx.MaxBody+1)),
		// Hiding the length makes the client send chunks without announcing any.
		"chunked": io.MultiReader(strings.NewReader(strings.Repeat("x", httpx.MaxBody+1))),
	} {
		got := do(t, request(t, http.MethodPost, base+"/flows", body))
		require.Equal(t, http.StatusRequestEntityTooLarge, got.status, name)
		require.Contains(t, got.body, `"code":"body_too_large"`, name)
	}
	got := do(t, request(t, http.MethodPost, base+"/flows", strings.NewReader(strings.Repeat("x", httpx.MaxBody))))
	require.Equal(t, http.StatusOK, got.status, "the limit itself is allowed")
}

func TestForward_CallerWhoSendsAllBeforeItReadsHearsOfTheLimit(t *testing.T) {
	t.Parallel()
	base := setup(t, func(http.ResponseWriter, *http.Request) {})
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	const size = httpx.MaxBody + 1
	_, err = fmt.Fprintf(conn, "POST /flows HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
}

// A service that dies after it has asked for the body is away, and nothing else.
func TestForward_OfACallerThatExpectsLeave(t *testing.T) {
	t.Parallel()
	url := setup(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
	req := request(t, http.MethodPost, url+"/flows", strings.NewReader(strings.Repeat("x", 100<<10)))
	req.Header.Set("Expect", "100-continue")
	got := do(t, req)
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Contains(t, got.body, `"code":"unavailable"`)
	require.NotEmpty(t, got.header.Get("X-Request-Id"))
}

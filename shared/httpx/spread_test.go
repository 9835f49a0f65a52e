package httpx

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// replica serves at an address of its own of the loopback network, and counts.
func replica(t *testing.T, address string) (port string, requests *atomic.Int64) {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Skipf("this system has no second loopback address: %v", err)
	}
	requests = &atomic.Int64{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Host+" "+string(body))
	}))
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	_, port, err = net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port, requests
}

func spreadOver(t *testing.T, addresses ...string) *spread {
	t.Helper()
	s := newSpread(&http.Transport{}, &net.Dialer{Timeout: 5 * time.Second})
	t.Cleanup(s.CloseIdleConnections)
	var addrs []netip.Addr
	for _, address := range addresses {
		addrs = append(addrs, netip.MustParseAddr(address))
	}
	s.lookup = func(context.Context, string) ([]netip.Addr, error) { return addrs, nil }
	return s
}

// send posts and returns the answer's text.
func send(t *testing.T, s *spread, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("hello"))
	require.NoError(t, err)
	resp, err := (&http.Client{Transport: s}).Do(r)
	require.NoError(t, err)
	require.Equal(t, url, resp.Request.URL.String())
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return string(text)
}

func TestSpread_GivesReplicasTurns(t *testing.T) {
	t.Parallel()
	port, first := replica(t, "127.0.0.1:0")
	_, second := replica(t, "127.0.0.2:"+port)
	s := spreadOver(t, "127.0.0.1", "127.0.0.2")
	for range 10 {
		require.Equal(t, "localhost.test:"+port+" hello", send(t, s, "http://localhost.test:"+port+"/x"))
	}
	require.EqualValues(t, 5, first.Load())
	require.EqualValues(t, 5, second.Load())
}

// The name of the request resolves to the replica that is left.
func TestSpread_SendsToAnotherReplicaWhatOneThatIsGoneCannotTake(t *testing.T) {
	t.Parallel()
	port, left := replica(t, "127.0.0.1:0")
	s := spreadOver(t, "127.0.0.2", "127.0.0.1")
	for range 4 {
		require.Contains(t, send(t, s, "http://LOCALHOST:"+port), "hello")
	}
	require.EqualValues(t, 4, left.Load())
}

func TestSpread_NoticesANewReplicaAndOutlivesItsNameServer(t *testing.T) {
	t.Parallel()
	s := spreadOver(t, "127.0.0.1")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://scheduler:8073/", http.NoBody)
	_, _, ok := s.next(r)
	require.False(t, ok, "one address needs no turns")

	two := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	s.lookup = func(context.Context, string) ([]netip.Addr, error) { return two, nil }
	s.names["scheduler"].asked = time.Now().Add(-relookup)
	var first netip.Addr
	require.Eventually(t, func() bool { // nobody waits for that look
		first, _, ok = s.next(r)
		return ok
	}, 10*time.Second, time.Millisecond)

	s.lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") }
	s.names["scheduler"].asked = time.Now().Add(-relookup)
	second, _, ok := s.next(r)
	require.True(t, ok)
	require.ElementsMatch(t, two, []netip.Addr{first, second})
}

func TestSpread_LeavesAddressesAndTLSAlone(t *testing.T) {
	t.Parallel()
	s := spreadOver(t, "10.0.0.1", "10.0.0.2")
	for _, url := range []string{"https://scheduler/", "http://127.0.0.1:1/", "http://[::1]:1/", "http://localhost:1/"} {
		_, _, ok := s.next(httptest.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody))
		require.False(t, ok, url)
	}
}

func TestSpread_RemembersNoMoreNamesThanItMay(t *testing.T) {
	t.Parallel()
	s := spreadOver(t, "10.0.0.1", "10.0.0.2")
	for i := range 2 * maxNames {
		url := "http://" + strings.Repeat("a", i+1) + ".test/"
		_, _, ok := s.next(httptest.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody))
		require.Equal(t, i < maxNames, ok)
	}
	require.Len(t, s.names, maxNames)
}

func TestSpread_ComesBackToAReplicaThatIsBack(t *testing.T) {
	t.Parallel()
	port, steady := replica(t, "127.0.0.1:0")
	s := spreadOver(t, "127.0.0.1", "127.0.0.2")
	for range 4 {
		send(t, s, "http://scheduler.test:"+port)
	}
	require.EqualValues(t, 4, steady.Load(), "the other one is away")
	_, back := replica(t, "127.0.0.2:"+port)
	require.Eventually(t, func() bool {
		send(t, s, "http://scheduler.test:"+port)
		return back.Load() > 0
	}, 10*time.Second, 10*time.Millisecond)
}

// A name server that says nothing holds up nobody who knows addresses.
func TestSpread_WaitsForNoNameServerWhileItKnowsAddresses(t *testing.T) {
	t.Parallel()
	port, first := replica(t, "127.0.0.1:0")
	_, second := replica(t, "127.0.0.2:"+port)
	s := spreadOver(t, "127.0.0.1", "127.0.0.2")
	send(t, s, "http://scheduler.test:"+port)
	asked := make(chan struct{}, 10)
	s.mu.Lock()
	s.lookup = func(ctx context.Context, _ string) ([]netip.Addr, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.names["scheduler.test"].asked = time.Now().Add(-relookup)
	s.mu.Unlock()
	for range 5 {
		send(t, s, "http://scheduler.test:"+port)
	}
	<-asked
	require.Empty(t, asked, "one look at a time")
	require.EqualValues(t, 6, first.Load()+second.Load())
}

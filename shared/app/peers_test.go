package app_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/app"
)

type caller struct {
	still
	peers []app.Peer
}

func (c caller) Peers() []app.Peer { return c.peers }

type readiness struct {
	Status string           `json:"status"`
	Peers  []app.PeerReport `json:"peers"`
}

// readinessAt is what /readyz says, which must be that the process is ready.
func readinessAt(t *testing.T, addr string) (r readiness) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/readyz", http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&r))
	return r
}

func TestReadyz_TellsOfPeersThatGoAndComeBack(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(peer.Close)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hanging.Close)
	addr, _ := run(t, app.Process{}, caller{peers: []app.Peer{
		{Name: "one", URL: peer.URL + "/"}, {Name: "gone", URL: "http://127.0.0.1:1"}, {Name: "stuck", URL: hanging.URL},
	}}, zap.NewNop())

	statuses := func() map[string]app.PeerStatus {
		r := readinessAt(t, addr)
		all := map[string]app.PeerStatus{"": app.PeerStatus(r.Status)}
		for _, peer := range r.Peers {
			all[peer.Name] = peer.Status
			require.Equal(t, peer.Status == app.PeerUnknown, peer.SinceAt == 0)
		}
		return all
	}
	eventually := func(one app.PeerStatus) {
		want := map[string]app.PeerStatus{"": "degraded", "one": one, "gone": app.PeerAway, "stuck": app.PeerAway}
		require.EventuallyWithT(t, func(c *assert.CollectT) { assert.Equal(c, want, statuses()) }, 20*time.Second, 20*time.Millisecond)
	}
	eventually(app.PeerOK)
	away.Store(true)
	eventually(app.PeerAway)
	away.Store(false)
	eventually(app.PeerOK)
}

func TestReadyz_WithoutPeersSaysReadyAndNoMore(t *testing.T) {
	t.Parallel()
	addr, _ := run(t, app.Process{}, still{}, zap.NewNop())
	require.Equal(t, readiness{Status: "ready"}, readinessAt(t, addr))
}

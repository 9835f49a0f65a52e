package registry_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx/httpxtest"
)

// pass lets the fake clock of a synctest bubble move on.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	<-time.After(d)
	synctest.Wait()
}

func TestTTL_WorkersGoOfflineAndComeBackByAHeartbeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t)
		defer r.stop()
		r.register("w", 0)
		pass(t, 15*time.Second-time.Millisecond)
		require.Equal(t, map[string]string{"w": "online"}, r.statuses())
		pass(t, time.Millisecond)
		require.Equal(t, map[string]string{"w": "offline"}, r.statuses())
		_, err := r.client.Allocate(t.Context(), "sum")
		require.Equal(t, errs.NoWorker, errs.CodeOf(err))

		pass(t, time.Hour)
		require.NoError(t, r.client.Heartbeat(t.Context(), registryapi.HeartbeatRequest{ID: "w", Load: 2}))
		worker, err := r.client.Allocate(t.Context(), "sum")
		require.NoError(t, err)
		require.Equal(t, "online", worker.Status)
		require.Equal(t, 2, worker.Load)
	})
}

func TestTTL_OfAListIsInSecondsAndChangesNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t)
		defer r.stop()
		r.register("w", 0)
		pass(t, 20*time.Second)
		require.Contains(t, r.Get("/list?ttl=21").Body.String(), `"online"`)
		require.Contains(t, r.Get("/list?ttl=20").Body.String(), `"offline"`)
		require.Contains(t, r.Get("/list?ttl=0").Body.String(), `"offline"`, "0 is the registry's own")
		httpxtest.RequireProblem(t, r.Get("/allocate?service=sum"), http.StatusServiceUnavailable, "no_worker")
	})
}

func TestPrune_ForgetsWorkersNotHeardOfForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config(t)
		cfg.Keep = time.Hour
		r := open(t, cfg)
		defer r.stop()
		r.register("gone", 0)
		pass(t, 30*time.Minute)
		r.register("quiet", 0)
		pass(t, 32*time.Minute)
		require.Equal(t, map[string]string{"quiet": "offline"}, r.statuses())
		httpxtest.RequireProblem(t, r.Post("/heartbeat", `{"id":"gone"}`), http.StatusNotFound, "not_found")
	})
}

func TestRestart_KeepsWorkersOnlineUntilTheirTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config(t)
		first := open(t, cfg)
		first.register("w", 1)
		pass(t, 10*time.Second)
		// Absorbed in memory; the stop has to write it.
		require.NoError(t, first.client.Heartbeat(t.Context(), registryapi.HeartbeatRequest{ID: "w", URL: "http://10.0.0.7", Load: 9}))
		before, err := first.client.Snapshot(t.Context(), "", 0)
		require.NoError(t, err)
		first.stop()

		pass(t, 14*time.Second)
		second := open(t, cfg)
		defer second.stop()
		after, err := second.client.Snapshot(t.Context(), "", 0)
		require.NoError(t, err)
		require.Equal(t, before, after, "load, address, time and version of the set")
		pass(t, time.Second)
		require.Equal(t, map[string]string{"w": "offline"}, second.statuses())
	})
}

func TestHeartbeats_AreWrittenWithinTheInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config(t)
		r := open(t, cfg)
		defer r.stop()
		for _, id := range []string{"a", "b", "c"} {
			r.register(id, 0)
		}
		pass(t, time.Minute)
		for _, id := range []string{"a", "b", "c"} {
			require.NoError(t, r.client.Heartbeat(t.Context(), registryapi.HeartbeatRequest{ID: id, Load: 3}))
		}
		// The refresh takes the database's rows, so it would undo what was
		// not written.
		pass(t, 5*time.Second)
		workers, err := r.client.List(t.Context(), "sum")
		require.NoError(t, err)
		require.Len(t, workers, 3)
		for _, w := range workers {
			require.Equal(t, 3, w.Load)
			require.Equal(t, "online", w.Status)
		}
	})
}

func TestHeartbeat_Faults(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.register("w", 0)
	httpxtest.RequireProblem(t, r.Post("/heartbeat", `{"id":"unknown","load":1}`), http.StatusNotFound, "not_found")
	p := httpxtest.RequireProblem(t, r.Post("/heartbeat", `{"load":-1}`), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"id", "load"}, httpxtest.FaultPaths(p))
	httpxtest.RequireProblem(t, r.Post("/heartbeat", `{"id":"w\u0000"}`), http.StatusBadRequest, "invalid_argument")
	httpxtest.RequireProblem(t, r.Post("/heartbeat", `{"id":"w","url":"queue"}`), http.StatusBadRequest, "invalid_argument")
}

func TestHeartbeat_MovesTheAddress(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.register("w", 0)
	require.NoError(t, r.client.Heartbeat(t.Context(), registryapi.HeartbeatRequest{ID: "w", URL: "http://10.0.0.2"}))
	require.NoError(t, r.client.Heartbeat(t.Context(), registryapi.HeartbeatRequest{ID: "w"}))
	worker, err := r.client.Allocate(t.Context(), "sum")
	require.NoError(t, err)
	require.Equal(t, "http://10.0.0.2", worker.URL)
}

func TestAllocate_TakesTheLeastLoadedAndSharesTies(t *testing.T) {
	t.Parallel()
	r := setup(t)
	_, err := r.client.Allocate(t.Context(), "sum")
	require.Equal(t, errs.NoWorker, errs.CodeOf(err))
	r.register("busy", 5)
	r.register("a", 1)
	r.register("b", 1)
	seen := map[string]int{}
	for range 100 {
		worker, err := r.client.Allocate(t.Context(), "sum")
		require.NoError(t, err)
		seen[worker.ID]++
	}
	require.Len(t, seen, 2, "never the busy one, and each of the others sometimes: %v", seen)
	require.NotContains(t, seen, "busy")

	require.NoError(t, r.client.Heartbeat(t.Context(), registryapi.HeartbeatRequest{ID: "busy", Load: 0}))
	worker, err := r.client.Allocate(t.Context(), "sum")
	require.NoError(t, err)
	require.Equal(t, "busy", worker.ID)
	httpxtest.RequireProblem(t, r.Get("/allocate?service=other"), http.StatusServiceUnavailable, "no_worker")
}

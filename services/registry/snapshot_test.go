package registry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
)

// poll starts a long poll of a minute; the answer comes with the time that it took.
func (i *instance) poll(version string) <-chan polled {
	i.t.Helper()
	answer := make(chan polled, 1)
	start := time.Now()
	go func() {
		snapshot, err := i.client.Snapshot(i.t.Context(), version, time.Minute)
		answer <- polled{snapshot, err, time.Since(start)}
	}()
	synctest.Wait() // until it waits
	return answer
}

type polled struct {
	registryapi.Snapshot
	err  error
	took time.Duration
}

func (p polled) ids() []string {
	ids := []string{}
	for _, w := range p.Workers {
		ids = append(ids, w.ID)
	}
	return ids
}

func TestSnapshot_AnswersAtOnceWithoutAVersion(t *testing.T) {
	t.Parallel()
	r := setup(t)
	w := r.Get("/internal/workers/snapshot?wait_ms=60000")
	require.Equal(t, 200, w.Code)
	require.Contains(t, w.Body.String(), `"workers":[]`)
	r.register("w", 0)
	snapshot, err := r.client.Snapshot(t.Context(), "of another set", time.Minute)
	require.NoError(t, err)
	require.Len(t, snapshot.Workers, 1)
}

func TestSnapshot_WakesWhenTheSetOfOnlineWorkersChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t)
		defer r.stop()
		empty, err := r.client.Snapshot(t.Context(), "", 0)
		require.NoError(t, err)

		// A worker comes.
		answer := r.poll(empty.Version)
		r.register("w", 0)
		came := <-answer
		require.NoError(t, came.err)
		require.Equal(t, []string{"w"}, came.ids())
		require.Zero(t, came.took)

		// It alters what it offers.
		answer = r.poll(came.Version)
		require.NoError(t, r.client.Heartbeat(t.Context(), registryapi.HeartbeatRequest{ID: "w", URL: "http://10.0.0.2"}))
		moved := <-answer
		require.Equal(t, "http://10.0.0.2", moved.Workers[0].URL)
		require.Zero(t, moved.took)

		// Its TTL runs out.
		answer = r.poll(moved.Version)
		expired := <-answer
		require.NoError(t, expired.err)
		require.Empty(t, expired.ids())
		require.Equal(t, 15*time.Second, expired.took)
		require.Equal(t, empty.Version, expired.Version, "equal sets have equal versions")

		// It is heard of again.
		answer = r.poll(expired.Version)
		require.NoError(t, r.client.Heartbeat(t.Context(), registryapi.HeartbeatRequest{ID: "w"}))
		returned := <-answer
		require.Equal(t, []string{"w"}, returned.ids())
		require.Zero(t, returned.took)

		// It leaves.
		answer = r.poll(returned.Version)
		require.NoError(t, r.client.Deregister(t.Context(), "w"))
		left := <-answer
		require.Empty(t, left.ids())
		require.Zero(t, left.took)
	})
}

func TestSnapshot_SleepsThroughHeartbeatsAndLoads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t)
		defer r.stop()
		r.register("w", 0)
		first, err := r.client.Snapshot(t.Context(), "", 0)
		require.NoError(t, err)

		answer := r.poll(first.Version)
		for load := range 12 {
			pass(t, 4*time.Second)
			require.NoError(t, r.client.Heartbeat(t.Context(), registryapi.HeartbeatRequest{ID: "w", Load: registryapi.Load(load)}))
			r.register("w", load)
		}
		last := <-answer
		require.NoError(t, last.err)
		require.Equal(t, time.Minute, last.took)
		require.Equal(t, first.Version, last.Version)
		require.Equal(t, 11, last.Workers[0].Load, "the loads are those of the answer's moment")
	})
}

func TestSnapshot_EndsWhenTheServiceStopsOrTheCallerGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t)
		defer r.stop()
		r.register("w", 0)
		first, err := r.client.Snapshot(t.Context(), "", 0)
		require.NoError(t, err)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = r.client.Snapshot(ctx, first.Version, time.Minute)
		require.Equal(t, errs.DeadlineExceeded, errs.CodeOf(err))

		answer := r.poll(first.Version)
		r.stop()
		last := <-answer
		require.NoError(t, last.err)
		require.Zero(t, last.took, "a drain does not wait for long polls")
	})
}

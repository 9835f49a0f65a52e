package connect_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

func TestMetrics_CountTheWritesOfEachCommit(t *testing.T) {
	t.Parallel()
	metrics := prometheus.NewRegistry()
	flows, err := connect.Flows(t.Context(), filepath.Join(t.TempDir(), "catalog.db"), connect.Options{
		Migration: connect.MigrateOnOpen, Metrics: metrics,
	})
	require.NoError(t, err)
	const writes = 50
	var writers sync.WaitGroup
	for range writes {
		writers.Go(func() {
			// Nothing is written, but a transaction is begun for each.
			_, err := flows.CreateVersion(t.Context(), storage.FlowVersion{ID: "ver-1", FlowID: "flow-none", Status: storage.VersionDraft})
			assert.ErrorIs(t, err, storage.ErrNotFound)
		})
	}
	writers.Wait()
	require.NoError(t, flows.Close())

	families, err := metrics.Gather()
	require.NoError(t, err)
	counted := map[string]float64{}
	for _, family := range families {
		m := family.GetMetric()[0]
		require.Equal(t, "catalog", m.GetLabel()[0].GetValue())
		counted[family.GetName()] = m.GetHistogram().GetSampleSum() + m.GetCounter().GetValue()
		if family.GetName() == "pocketflow_storage_commit_duration_seconds" {
			counted["commits"] = float64(m.GetHistogram().GetSampleCount())
		}
	}
	require.InDelta(t, writes, counted["pocketflow_storage_commit_writes"], 0, "however many shared a commit")
	require.Positive(t, counted["commits"])
	require.LessOrEqual(t, counted["commits"], float64(writes))
	require.Positive(t, counted["pocketflow_storage_commit_duration_seconds"])
	require.Zero(t, counted["pocketflow_storage_rollbacks_total"])
}

package roster_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/registry/internal/roster"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

// BenchmarkHeartbeats compares heartbeats that are absorbed and written in
// groups with a write for each, from many workers at once.
func BenchmarkHeartbeats(b *testing.B) {
	const workers = 1000
	prepare := func(b *testing.B) (storage.Workers, *roster.Roster) {
		b.Helper()
		store, err := connect.Workers(b.Context(), "sqlite://"+b.TempDir()+"/registry.db", connect.Options{Migration: connect.MigrateOnOpen})
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, store.Close()) })
		r := roster.New(store, roster.Config{Log: zap.NewNop(), TTL: time.Minute, Keep: time.Hour})
		for i := range workers {
			require.NoError(b, r.Register(b.Context(), worker(fmt.Sprint(i))))
		}
		b.SetParallelism(32)
		b.ResetTimer()
		return store, r
	}
	b.Run("grouped", func(b *testing.B) {
		_, r := prepare(b)
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if err := r.Heartbeat(b.Context(), storage.Heartbeat{ID: fmt.Sprint(i % workers), Load: i}); err != nil {
					b.Error(err)
				}
			}
		})
		require.NoError(b, r.Close()) // the writes count
	})
	b.Run("each", func(b *testing.B) {
		store, _ := prepare(b)
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				beat := storage.Heartbeat{ID: fmt.Sprint(i % workers), Load: i, At: storage.Now()}
				if _, err := store.RecordHeartbeats(b.Context(), []storage.Heartbeat{beat}); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// BenchmarkSnapshot is what a scheduler's poll costs.
func BenchmarkSnapshot(b *testing.B) {
	for _, workers := range []int{10, 1000} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			store, err := connect.Workers(b.Context(), "sqlite://"+b.TempDir()+"/registry.db", connect.Options{Migration: connect.MigrateOnOpen})
			require.NoError(b, err)
			defer func() { require.NoError(b, store.Close()) }()
			r := roster.New(store, roster.Config{Log: zap.NewNop(), TTL: time.Hour, Keep: time.Hour})
			for i := range workers {
				require.NoError(b, r.Register(b.Context(), worker(fmt.Sprint(i))))
			}
			for b.Loop() {
				if _, err := r.Snapshot(b.Context(), "", 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Package storagetest holds the drivers to the contracts of shared/storage: a
// suite for each role (Queue, Tasks, Flows, Workers), which a driver's tests
// run over stores of their own making, with models, races and benchmarks. It
// opens no database and knows neither SQL nor a driver, so that what it asks is
// what callers may rely on.
package storagetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// at is a fixed time and n seconds, to the microsecond that records keep.
func at(n int) time.Time {
	return time.Date(2026, time.March, 4, 5, 6, 7, 891_011_000, time.UTC).Add(time.Duration(n) * time.Second)
}

// awkwardJSON comes back otherwise from whoever parses it on the way: white
// space, the order and repetition of keys, long numbers, escapes.
const awkwardJSON = "{ \"b\" : 1.0,\n\t\"a\":9007199254740993, \"a\": 1e400, \"c\":\"\\u0000\\u00e9 é ' \\\" $1 ? \\\\ \U0001F600\",\"d\":[ ] } "

// requireOutcomes compares outcomes as callers do, with errors.Is.
func requireOutcomes(t rapid.TB, want, got storage.Outcomes) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		if want[i] == nil {
			require.NoError(t, got[i], "item %d", i)
			continue
		}
		require.ErrorIs(t, got[i], want[i], "item %d", i)
	}
}

// runBase checks storage.Base of a store. call is any method of it.
func runBase(t *testing.T, open func(t *testing.T) (store storage.Base, call func() error)) {
	store, call := open(t)
	require.NoError(t, store.Ready(t.Context()))
	require.NoError(t, call())
	require.NoError(t, store.Close())
	require.NoError(t, store.Close(), "it may be called twice")
	require.Error(t, call(), "calls after Close fail")
	require.Error(t, store.Ready(t.Context()))
}

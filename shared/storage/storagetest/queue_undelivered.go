package storagetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func resultsUndelivered(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	undelivered := func() storage.UndeliveredResults {
		t.Helper()
		results, err := store.Undelivered(ctx)
		require.NoError(t, err)
		return results
	}
	require.Zero(t, undelivered())
	var ids []string
	for _, n := range []int{2, 1} {
		done := completion(claimOne(t, store, n))
		done.At, done.Token = at(10+n), ""
		complete(t, store, done)
		ids = append(ids, done.JobID)
	}
	// That somebody is delivering them makes them no younger.
	_, err := store.ClaimResults(ctx, at(20), at(60), 10)
	require.NoError(t, err)
	require.Equal(t, storage.UndeliveredResults{Count: 2, Oldest: at(11)}, undelivered())
	require.NoError(t, store.AckResults(ctx, ids[1:]))
	require.Equal(t, storage.UndeliveredResults{Count: 1, Oldest: at(12)}, undelivered())
	require.NoError(t, store.AckResults(ctx, ids))
	require.Zero(t, undelivered())
}

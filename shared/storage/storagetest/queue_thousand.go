package storagetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// queueThousand sends a thousand items through each method in one call.
func queueThousand(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	const n = 1000
	setLimit(t, store, maxOf("a", n))
	put(t, store, append(jobsOf("a", 0, n), jobsOf("b", n, n)...)...)
	jobs := claim(t, store, claimAt(at(3*n), 2*n, "a", "b"))
	require.Len(t, jobs, 2*n)
	var refs []storage.ClaimRef
	var answers []storage.JobCompletion
	var withdrawn []string
	want := make(storage.Outcomes, n)
	for _, job := range jobs {
		if job.Service == "b" {
			withdrawn = append(withdrawn, job.ID)
			continue
		}
		refs = append(refs, storage.ClaimRef{JobID: job.ID, Token: job.Token})
		answers = append(answers, completion(job))
	}
	extended, err := store.ExtendClaims(ctx, refs, at(4*n))
	require.NoError(t, err)
	requireOutcomes(t, want, extended)
	requireOutcomes(t, want, complete(t, store, answers...))
	taken, err := store.WithdrawJobs(ctx, withdrawn, at(3*n))
	require.NoError(t, err)
	requireOutcomes(t, want, taken)
	require.Len(t, results(t, store), n)

	dead := buried(t, store, at(9*n), jobsOf("c", 3*n, 2*n)...)
	requireOutcomes(t, want, requeue(t, store, at(9*n), ids(dead[:n])...))
	requireOutcomes(t, want, discard(t, store, at(9*n), ids(dead[n:])...))
}

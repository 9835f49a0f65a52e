package storagetest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// sized makes jobs of a service with inputs of the given sizes in bytes, of
// characters that are two each.
func sized(service string, first int, sizes ...int) []storage.Job {
	jobs := jobsOf(service, first, len(sizes))
	for i, size := range sizes {
		jobs[i].Input = json.RawMessage(`"` + strings.Repeat("é", (size-2)/2) + `"`)
	}
	return jobs
}

func claimBytes(t *testing.T, store storage.Queue) {
	jobs := sized("a", 1, 400, 500, 100, 102, 2000, 10)
	put(t, store, jobs...)
	params := claimAt(at(100), 10, "a")
	params.MaxBytes = 1000
	for _, want := range [][]storage.Job{jobs[:3], jobs[3:4], jobs[4:5], jobs[5:], nil} {
		got := claim(t, store, params)
		require.Len(t, got, len(want))
		for i, job := range got {
			require.Equal(t, want[i].ID, job.ID)
			require.Equal(t, string(want[i].Input), string(job.Input))
			require.Equal(t, bare(job), getJob(t, store, job.ID))
		}
		for _, job := range jobs {
			if kept := getJob(t, store, job.ID); kept.Status == storage.JobPending {
				require.Equal(t, bare(job), kept, "left as it was")
			}
		}
	}
}

func claimBytesAcross(t *testing.T, store storage.Queue) {
	hints := subscribe(t, store)
	knock := 0
	eventually(t, func() bool {
		knock++
		put(t, store, jobsOf("knock", 5000+knock, 1)...)
		return hints.hears("knock", 100*time.Millisecond)
	}, "the subscription stands")
	limited := storage.ServiceLimit{Service: "limited", MaxClaimed: 2, UpdatedAt: at(0)}
	require.NoError(t, store.SetLimit(t.Context(), limited))
	put(t, store, sized("a", 1, 600, 600)...)
	put(t, store, sized("limited", 11, 300, 300, 300)...)
	require.True(t, hints.hears("a", 10*time.Second))
	require.True(t, hints.hears("limited", 10*time.Second))
	hints.forget()

	params := claimAt(at(100), 10, "a", "limited")
	params.MaxBytes = 1000
	require.Equal(t, []string{aJob(1).ID, aJob(11).ID}, ids(claim(t, store, params)))
	require.True(t, hints.hears("a", 10*time.Second), "there is more for others")
	require.Equal(t, []string{aJob(2).ID, aJob(12).ID}, ids(claim(t, store, params)))
	require.Empty(t, claim(t, store, params), "the limit holds")
}

func deadBytes(t *testing.T, store storage.Queue) {
	jobs := sized("a", 1, 2000, 102, 100, 500, 400)
	buried(t, store, at(1000), jobs...)
	query := storage.DeadQuery{ListOptions: storage.ListOptions{Limit: 4}, MaxBytes: 1000}
	for _, want := range [][]int{{4, 3, 2}, {1}, {0}} {
		page, err := store.ListDead(t.Context(), query)
		require.NoError(t, err)
		require.Equal(t, len(jobs), page.Total)
		require.Len(t, page.Items, len(want))
		for i, job := range page.Items {
			require.Equal(t, getJob(t, store, jobs[want[i]].ID), bare(job))
			require.Equal(t, string(jobs[want[i]].Input), string(job.Input))
		}
		query.Cursor = page.Next
	}
	require.Empty(t, query.Cursor)
}

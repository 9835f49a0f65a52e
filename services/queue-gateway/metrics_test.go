package queuegateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	queuegateway "github.com/pocketflowgo/pocketflow/services/queue-gateway"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
)

func TestMetrics_TellWhatBecameOfJobs(t *testing.T) {
	t.Parallel()
	f := setup(t, func(cfg *queuegateway.Config) { cfg.MaxDeliveries = 2 })
	f.put(t, newJob("1", "upper"), newJob("2", "upper"), newJob("3", "lower"))
	for _, failure := range []string{"", "no"} {
		job := f.claim(t, "upper")
		answer := queueapi.CompleteRequest{QueueID: job.ID, Token: job.Token, Error: failure}
		for range 2 { // a repeat is no second answer
			require.NoError(t, f.Complete(t.Context(), answer))
		}
		f.scheduler.next(t)
	}
	for range 2 {
		_, err := f.Poll(t.Context(), queueapi.PollParams{WorkerID: "w1", Services: []string{"lower"}, Wait: patience, Visibility: time.Second})
		require.NoError(t, err)
	}
	f.scheduler.next(t) // of the death
	jobs, err := f.Poll(t.Context(), queueapi.PollParams{WorkerID: "w1", Services: []string{"upper"}})
	require.NoError(t, err)
	require.Empty(t, jobs)
	f.put(t, newJob("4", "upper"))

	require.Eventually(t, func() bool {
		return testutil.GatherAndCompare(f.metrics, strings.NewReader(`
# HELP pocketflow_queue_outbox_delivered_total Results that the scheduler has taken.
# TYPE pocketflow_queue_outbox_delivered_total counter
pocketflow_queue_outbox_delivered_total 3
`), "pocketflow_queue_outbox_delivered_total") == nil
	}, patience, time.Millisecond)
	require.NoError(t, testutil.GatherAndCompare(f.metrics, strings.NewReader(`
# HELP pocketflow_queue_jobs Jobs in the database, by service of the workers and status.
# TYPE pocketflow_queue_jobs gauge
pocketflow_queue_jobs{status="claimed",worker_service="lower"} 0
pocketflow_queue_jobs{status="claimed",worker_service="upper"} 0
pocketflow_queue_jobs{status="dead",worker_service="lower"} 1
pocketflow_queue_jobs{status="dead",worker_service="upper"} 0
pocketflow_queue_jobs{status="delayed",worker_service="lower"} 0
pocketflow_queue_jobs{status="delayed",worker_service="upper"} 0
pocketflow_queue_jobs{status="ready",worker_service="lower"} 0
pocketflow_queue_jobs{status="ready",worker_service="upper"} 1
# HELP pocketflow_queue_polls_total Polls answered, by what with.
# TYPE pocketflow_queue_polls_total counter
pocketflow_queue_polls_total{result="empty"} 1
pocketflow_queue_polls_total{result="error"} 0
pocketflow_queue_polls_total{result="jobs"} 4
# HELP pocketflow_queue_deliveries_total Jobs handed to workers, each time anew.
# TYPE pocketflow_queue_deliveries_total counter
pocketflow_queue_deliveries_total 4
# HELP pocketflow_queue_claims_expired_total Claims that timed out, by what became of the job.
# TYPE pocketflow_queue_claims_expired_total counter
pocketflow_queue_claims_expired_total{outcome="dead"} 1
pocketflow_queue_claims_expired_total{outcome="ready"} 1
`), "pocketflow_queue_jobs", "pocketflow_queue_polls_total", "pocketflow_queue_deliveries_total", "pocketflow_queue_claims_expired_total"))
	durations := func(result string) uint64 {
		families, err := f.metrics.Gather()
		require.NoError(t, err)
		for _, family := range families {
			if family.GetName() != "pocketflow_queue_job_duration_seconds" {
				continue
			}
			for _, m := range family.GetMetric() {
				if m.GetLabel()[0].GetValue() == result {
					return m.GetHistogram().GetSampleCount()
				}
			}
		}
		return 0
	}
	require.EqualValues(t, 1, durations("ok"))
	require.EqualValues(t, 1, durations("error"))
}

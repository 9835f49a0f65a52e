package queuegateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	queuegateway "github.com/pocketflowgo/pocketflow/services/queue-gateway"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

func TestRequests_NameEveryFault(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, c := range []struct {
		path, body string
		paths      []string
	}{
		{"/queue/poll", `{}`, []string{"worker_id", "services"}},
		{"/queue/poll", `{"worker_id":"` + strings.Repeat("w", 257) + `","services":["` + strings.Repeat("s", 257) + `"]}`, []string{"worker_id", "services[0]"}},
		{"/queue/limits", `{"service":"` + strings.Repeat("s", 257) + `","max_claimed":1}`, []string{"service"}},
		{"/internal/jobs/withdraw", `{"ids":["job-1",""]}`, []string{"ids[1]"}},
		{"/queue/poll", `{"worker_id":"w","services":[""],"wait_ms":60001,"max_jobs":101,"visibility_ms":999}`, []string{"services[0]", "wait_ms", "max_jobs", "visibility_ms"}},
		{"/queue/poll", `{"worker_id":"w","services":["a"],"wait_ms":-1,"max_jobs":-1,"visibility_ms":-1}`, []string{"wait_ms", "max_jobs", "visibility_ms"}},
		{"/queue/poll", `{"worker_id":7,"services":"a"}`, []string{"services", "worker_id"}},
		{"/queue/complete", `{}`, []string{"queue_id"}},
		{"/queue/heartbeat", `{"visibility_ms":1}`, []string{"queue_id", "visibility_ms"}},
		{"/internal/jobs", `{"jobs":[{"input":[],"available_at":-1}]}`, []string{"jobs[0].id", "jobs[0].task_id", "jobs[0].run_id", "jobs[0].service", "jobs[0].input", "jobs[0].available_at"}},
	} {
		status, body := f.post(t, c.path, c.body)
		require.Equal(t, http.StatusBadRequest, status, c.body)
		var problem httpx.Problem
		require.NoError(t, json.Unmarshal([]byte(body), &problem))
		require.Equal(t, errs.InvalidArgument, problem.Code)
		var paths []string
		for _, fault := range problem.Faults {
			paths = append(paths, fault.Path)
		}
		require.ElementsMatch(t, c.paths, paths, c.body)
	}
}

func TestConfig_NamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := queuegateway.New(t.Context(), queuegateway.Config{SchedulerURL: "x"}, queuegateway.Deps{})
	for _, want := range []string{"database", "scheduler url", "max deliveries", "visibility"} {
		require.ErrorContains(t, err, want)
	}
}

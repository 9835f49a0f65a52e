package remote_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/remote"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// answers serves the given handlers, one a request, the last one for ever.
func answers(t *testing.T, handlers ...http.HandlerFunc) *remote.Server {
	t.Helper()
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := min(int(served.Add(1)), len(handlers)) - 1
		handlers[i](w, r)
	}))
	t.Cleanup(server.Close)
	srv, err := remote.Connect(server.URL, httpx.NewHTTPClient())
	require.NoError(t, err)
	return srv
}

func task(status string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id": "task-1", "status": "`+status+`"}`)
	}
}

func problem(code errs.Code) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		httpx.WriteProblem(w, r, errs.New(code, "no"))
	}
}

func TestFollow_SeesEveryLookUntilTheEnd(t *testing.T) {
	t.Parallel()
	srv := answers(t, task("pending"), task("running"), problem(errs.Unavailable), task("completed"))
	var seen []string
	end, err := srv.Follow(t.Context(), "task-1", func(t schedulerapi.Task) { seen = append(seen, t.Status) })
	require.NoError(t, err)
	require.Equal(t, "completed", end.Status)
	require.Equal(t, []string{"pending", "running", "completed"}, seen, "a server that is away for a moment is waited for")
}

func TestFollow_EndsWhenThereIsNothingToFollow(t *testing.T) {
	t.Parallel()
	ignore := func(schedulerapi.Task) {}
	_, err := answers(t, problem(errs.NotFound)).Follow(t.Context(), "task-1", ignore)
	require.Equal(t, errs.NotFound, errs.CodeOf(err))

	ctx, cancel := context.WithCancel(t.Context())
	_, err = answers(t, task("running")).Follow(ctx, "task-1", func(schedulerapi.Task) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
}

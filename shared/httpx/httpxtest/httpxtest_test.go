package httpxtest_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/httpx/httpxtest"
)

func TestCaller_ReachesTheHandler(t *testing.T) {
	t.Parallel()
	router, err := httpx.NewRouter(httpx.Deps{Log: zap.NewNop()}, []httpx.Route{
		{Method: http.MethodGet, Path: "/things", Handler: func(w http.ResponseWriter, r *http.Request) error {
			return httpx.WriteJSON(w, http.StatusOK, r.URL.Query())
		}},
		{Method: http.MethodPost, Path: "/things", Handler: func(_ http.ResponseWriter, r *http.Request) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			return errs.New(errs.NotFound, "there is no %s", body)
		}},
	})
	require.NoError(t, err)
	caller := httpxtest.Caller{Handler: router}

	answer := httpxtest.Decode[map[string][]string](t, caller.Get("/things?id=7"))
	require.Equal(t, map[string][]string{"id": {"7"}}, answer)

	problem := httpxtest.RequireProblem(t, caller.Post("/things", "unicorn"), http.StatusNotFound, "not_found")
	require.Equal(t, "there is no unicorn", problem.Detail)
	require.Empty(t, httpxtest.FaultPaths(problem))
}

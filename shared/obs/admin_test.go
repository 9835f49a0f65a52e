package obs_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/obs"
)

func TestAdmin_ChangesTheLevelOfALoggerInUse(t *testing.T) {
	t.Parallel()
	telemetry, err := obs.New(obs.Config{LogLevel: "error", LogFormat: obs.LogJSON})
	require.NoError(t, err)
	admin := obs.AdminHandler(telemetry)
	child := telemetry.Log.With(zap.String("service", "test"))
	change := func(method, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		req := httptest.NewRequest(method, "/log/level", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl -d has it
		admin.ServeHTTP(w, req)
		return w
	}
	require.Nil(t, child.Check(zap.DebugLevel, ""))
	require.JSONEq(t, `{"level":"error"}`, change(http.MethodGet, "").Body.String())

	require.Equal(t, http.StatusOK, change(http.MethodPut, `{"level":"debug"}`).Code)
	require.NotNil(t, child.Check(zap.DebugLevel, ""))
	require.JSONEq(t, `{"level":"debug"}`, change(http.MethodGet, "").Body.String())

	for _, body := range []string{"", `{}`, `{"level":"loud"}`, strings.Repeat(" ", 1<<20) + `{"level":"info"}`} {
		require.Equal(t, http.StatusBadRequest, change(http.MethodPut, body).Code)
	}
	require.Equal(t, http.StatusMethodNotAllowed, change(http.MethodPost, `{"level":"info"}`).Code)
	require.NotNil(t, child.Check(zap.DebugLevel, ""), "what was refused changed nothing")
}

func TestAdmin_ServesProfilesButNotTheCommandLine(t *testing.T) {
	t.Parallel()
	telemetry, err := obs.New(obs.Config{LogLevel: "error", LogFormat: obs.LogJSON})
	require.NoError(t, err)
	admin := obs.AdminHandler(telemetry)
	for path, want := range map[string]int{
		"/debug/pprof/": http.StatusOK, "/debug/pprof/heap": http.StatusOK, "/debug/pprof/goroutine?debug=1": http.StatusOK,
		"/metrics": http.StatusOK, "/debug/pprof/cmdline": http.StatusNotFound, "/": http.StatusNotFound,
	} {
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		require.Equal(t, want, w.Code, path)
	}
}

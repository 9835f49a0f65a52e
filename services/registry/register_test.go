package registry_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx/httpxtest"
)

func TestRegister_ListsTheWorkerAsOnline(t *testing.T) {
	t.Parallel()
	r := setup(t)
	w := r.Post("/workers/register", `{"id":"w1","url":"http://10.0.0.1:9000","services":["sum","upper"],"load":3,
		"type":"http","max_concurrency":8,"labels":{"zone":"a"},"lastHeartbeat":1700000000}`)
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	require.JSONEq(t, `{"ok":"1"}`, w.Body.String())

	listed := httpxtest.Decode[[]map[string]any](t, r.Get("/workers/list"))
	require.Len(t, listed, 1)
	require.InDelta(t, 1.8e12, listed[0]["last_heartbeat"], 1e12, "unix milliseconds of the registry's clock")
	delete(listed[0], "last_heartbeat")
	require.Equal(t, map[string]any{
		"id": "w1", "url": "http://10.0.0.1:9000", "services": []any{"sum", "upper"}, "load": 3.0,
		"type": "http", "status": "online", "max_concurrency": 8.0, "labels": map[string]any{"zone": "a"},
	}, listed[0])
}

func TestRoutes_AreServedInEveryDocumentedSpelling(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, prefix := range []string{"/workers", "/api/workers", "", "/api"} {
		id := "w" + strings.ReplaceAll(prefix, "/", "-")
		w := r.Post(prefix+"/register", fmt.Sprintf(`{"ID":%q,"Url":"http://10.0.0.1","Services":["sum"],"MaxConcurrency":2}`, id))
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		w = r.Post(prefix+"/heartbeat", fmt.Sprintf(`{"Id":%q,"LOAD":4}`, id))
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		require.JSONEq(t, `{"ok":"1"}`, w.Body.String())
		require.Contains(t, r.Get(prefix+"/list?Service=sum").Body.String(), `"`+id+`"`)
		require.Equal(t, http.StatusOK, r.Get(prefix+"/allocate?service=sum").Code)
	}
	require.Equal(t, http.StatusOK, r.Post("/api/workers/deregister", `{"id":"w"}`).Code)
	require.Equal(t, http.StatusNotFound, r.Get("/api/internal/workers/snapshot").Code, "internal routes are served bare only")
}

func TestRegister_NamesEveryFault(t *testing.T) {
	t.Parallel()
	r := setup(t)
	w := r.Post("/register", `{"id":" ","url":"ftp://u:p@169.254.169.254?x=1","services":["","a\u0007"],"type":"push",
		"load":-1,"max_concurrency":-2,"labels":{"a":"\u0007"}}`)
	p := httpxtest.RequireProblem(t, w, http.StatusBadRequest, "invalid_argument")
	require.ElementsMatch(t, []string{
		"id", "services[0]", "services[1]", "url", "url", "url", "url", "labels.a", "type", "load", "max_concurrency",
	}, httpxtest.FaultPaths(p))

	p = httpxtest.RequireProblem(t, r.Post("/register", ``), http.StatusBadRequest, "invalid_argument")
	require.ElementsMatch(t, []string{"id", "services", "url"}, httpxtest.FaultPaths(p))

	p = httpxtest.RequireProblem(t, r.Post("/register", `{"id":1,"services":"sum","load":"x"}`), http.StatusBadRequest, "invalid_argument")
	require.ElementsMatch(t, []string{"id", "services", "load"}, httpxtest.FaultPaths(p))
	require.Empty(t, r.statuses())
}

func TestRegister_RefusesAddressesThatWouldReachMetadata(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, url := range []string{
		"http://169.254.169.254/latest", "http://[::ffff:169.254.169.254]:80", "http://2852039166/", "http://0xa9fea9fe",
		"http://[fe80::1%25eth0]:9000", "http://metadata.google.internal.", "HTTP://Metadata:80",
	} {
		w := r.Post("/register", fmt.Sprintf(`{"id":"w","url":%q,"services":["sum"]}`, url))
		p := httpxtest.RequireProblem(t, w, http.StatusBadRequest, "invalid_argument")
		require.Equal(t, []string{"url"}, httpxtest.FaultPaths(p), url)
	}
	r.register("w", 0)
	w := r.Post("/heartbeat", `{"id":"w","url":"http://169.254.169.254"}`)
	httpxtest.RequireProblem(t, w, http.StatusBadRequest, "invalid_argument")
	require.NotContains(t, r.Get("/list").Body.String(), "169.254")
}

func TestRegister_HoldsURLsToTheOperatorsList(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.AllowWorkers = []string{"10.1.0.0/16", "*.workers.example", "localhost"}
	r := open(t, cfg)
	for url, status := range map[string]int{
		"http://10.1.2.3:9000":          http.StatusOK,
		"http://a.workers.example:9000": http.StatusOK,
		"https://LOCALHOST":             http.StatusOK,
		"http://10.2.0.1:9000":          http.StatusBadRequest,
		"http://workers.example":        http.StatusBadRequest,
		"http://127.0.0.1:9000":         http.StatusBadRequest,
	} {
		w := r.Post("/register", fmt.Sprintf(`{"id":"w","url":%q,"services":["sum"]}`, url))
		require.Equal(t, status, w.Code, url)
	}
}

func TestRegister_TakesPullWorkersWithoutAnAddress(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, body := range []string{
		`{"id":"a","url":"queue","services":["sum"],"type":"async"}`,
		`{"id":"b","url":"","services":["sum"],"type":"ASYNC"}`,
		`{"id":"c","services":["sum"],"type":"local"}`,
		`{"id":"d","url":"http://10.0.0.9","services":["sum"],"type":"async"}`,
	} {
		require.Equal(t, http.StatusOK, r.Post("/api/register", body).Code, body)
	}
	require.Equal(t, http.StatusOK, r.Post("/heartbeat", `{"id":"a","url":"queue","load":1}`).Code)
	require.Equal(t, http.StatusOK, r.Post("/register", `{"id":"e","url":"queue","services":["sum"],"load":1.5}`).Code, "its URL says that it pulls")
	httpxtest.RequireProblem(t, r.Post("/register", `{"id":"f","url":"","services":["sum"]}`), http.StatusBadRequest, "invalid_argument")
	httpxtest.RequireProblem(t, r.Post("/register", `{"id":"e","url":"http://169.254.0.1","services":["sum"],"type":"async"}`),
		http.StatusBadRequest, "invalid_argument")
}

func TestRegister_ReplacesWhatTheWorkerOffers(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.register("w", 5)
	require.NoError(t, r.client.Register(t.Context(), registryapi.RegisterRequest{
		ID: "w", URL: "http://10.0.0.2", Services: []string{"upper"},
	}))
	require.JSONEq(t, `[]`, r.Get("/list?service=sum").Body.String())
	workers, err := r.client.List(t.Context(), "upper")
	require.NoError(t, err)
	require.Len(t, workers, 1)
	require.Equal(t, "http://10.0.0.2", workers[0].URL)
	require.Zero(t, workers[0].Load)
}

func TestStrict_RefusesUnknownFieldsButTakesLastHeartbeat(t *testing.T) {
	t.Parallel()
	r := setup(t)
	strict := func(body string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(http.MethodPost, "/register", strings.NewReader(body))
		req.Header.Set("Prefer", "handling=strict")
		return r.Do(req)
	}
	p := httpxtest.RequireProblem(t, strict(`{"id":"w","url":"http://10.0.0.1","services":["sum"],"colour":1,"shape":2}`),
		http.StatusBadRequest, "unknown_field")
	require.Equal(t, []string{"colour", "shape"}, httpxtest.FaultPaths(p))
	require.Equal(t, http.StatusOK, strict(`{"id":"w","url":"http://10.0.0.1","services":["sum"],"lastHeartbeat":"now"}`).Code)
	require.Equal(t, http.StatusOK, r.Post("/register", `{"id":"w","url":"http://10.0.0.1","services":["sum"],"colour":1}`).Code)
}

func TestErrors_HaveOneShape(t *testing.T) {
	t.Parallel()
	r := setup(t)
	httpxtest.RequireProblem(t, r.Post("/register", `{"id":`), http.StatusBadRequest, "malformed_body")
	httpxtest.RequireProblem(t, r.Post("/register", `[]`), http.StatusBadRequest, "invalid_argument")
	httpxtest.RequireProblem(t, r.Post("/register", `"`+strings.Repeat("x", 5<<20)+`"`), http.StatusRequestEntityTooLarge, "body_too_large")
	httpxtest.RequireProblem(t, r.Get("/workers"), http.StatusNotFound, "not_found")
	w := r.Get("/workers/register")
	httpxtest.RequireProblem(t, w, http.StatusMethodNotAllowed, "method_not_allowed")
	require.Equal(t, "OPTIONS, POST", w.Header().Get("Allow"))
	httpxtest.RequireProblem(t, r.Get("/list?ttl=-1"), http.StatusBadRequest, "invalid_argument")
	httpxtest.RequireProblem(t, r.Get("/list?ttl=15s"), http.StatusBadRequest, "invalid_argument")
	p := httpxtest.RequireProblem(t, r.Get("/allocate"), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"service"}, httpxtest.FaultPaths(p))
	httpxtest.RequireProblem(t, r.Get("/internal/workers/snapshot?wait_ms=60001"), http.StatusBadRequest, "invalid_argument")
}

func TestDeregister_TakesTheWorkerOutAtOnce(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.register("w", 0)
	require.NoError(t, r.client.Deregister(t.Context(), "w"))
	require.JSONEq(t, `[]`, r.Get("/list").Body.String())
	httpxtest.RequireProblem(t, r.Post("/heartbeat", `{"id":"w"}`), http.StatusNotFound, "not_found")
	httpxtest.RequireProblem(t, r.Post("/workers/deregister", `{"id":"w"}`), http.StatusNotFound, "not_found")
	httpxtest.RequireProblem(t, r.Post("/workers/deregister", `{}`), http.StatusBadRequest, "invalid_argument")
}

func TestDatabaseAway_AnswersUnavailable(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.register("w", 0)
	r.stop() // closes the database
	p := httpxtest.RequireProblem(t, r.Post("/register", `{"id":"x","url":"http://10.0.0.1","services":["sum"]}`),
		http.StatusServiceUnavailable, "unavailable")
	require.NotContains(t, p.Detail, "closed", "no cause is shown")
	require.Equal(t, http.StatusOK, r.Post("/heartbeat", `{"id":"w"}`).Code, "heartbeats are absorbed in memory")
	require.Error(t, r.service.Ready(t.Context()))
}

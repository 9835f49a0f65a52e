package catalog_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx/httpxtest"
)

func TestCreateFlow_IsServedInEverySpelling(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for _, tc := range []struct{ path, body string }{
		{"/flows", `{"Name":"a","Description":"first"}`},
		{"/api/flows", `{"name":"  a ","DESCRIPTION":"first"}`},
	} {
		w := c.Post(tc.path, tc.body)
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		id := httpxtest.Decode[catalogapi.Created](t, w).ID
		require.Regexp(t, `^flow-`, id)

		got := httpxtest.Decode[map[string]any](t, c.Get("/api/flows/get?Id="+id))
		require.InDelta(t, 1.8e12, got["created_at"], 1e12, "unix milliseconds")
		delete(got, "created_at")
		require.Equal(t, map[string]any{"id": id, "name": "a", "description": "first"}, got)
	}
}

func TestCreateFlow_NamesEveryFault(t *testing.T) {
	t.Parallel()
	c := setup(t)
	p := httpxtest.RequireProblem(t, c.Post("/flows", `{}`), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"name"}, httpxtest.FaultPaths(p))
	httpxtest.RequireProblem(t, c.Post("/flows", ``), http.StatusBadRequest, "invalid_argument")
	httpxtest.RequireProblem(t, c.Post("/flows", `{"name":" \t "}`), http.StatusBadRequest, "invalid_argument")
	p = httpxtest.RequireProblem(t, c.Post("/flows", body(t, map[string]any{
		"name": strings.Repeat("ü", 201), "description": strings.Repeat("d", 10_001),
	})), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"name", "description"}, httpxtest.FaultPaths(p))
	p = httpxtest.RequireProblem(t, c.Post("/flows", `{"name":1,"description":[]}`), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"description", "name"}, httpxtest.FaultPaths(p))
	p = httpxtest.RequireProblem(t, c.Post("/flows", `{"name":"a\u0000b","description":"\u0000"}`), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"description", "name"}, httpxtest.FaultPaths(p))
	httpxtest.RequireProblem(t, c.Post("/flows", "{\"name\":\"\xff\"}"), http.StatusBadRequest, "malformed_body")
	p = httpxtest.RequireProblem(t, c.Get("/flows/get?id=%00"), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"id"}, httpxtest.FaultPaths(p))
	require.Equal(t, http.StatusOK, c.Post("/flows", body(t, map[string]any{"name": strings.Repeat("ü", 200), "description": "a\nb"})).Code)
}

func TestFindFlow_GivesTheFirstThatTookTheName(t *testing.T) {
	t.Parallel()
	c := setup(t)
	first := c.flow("twice")
	c.flow("twice")
	found, err := c.client.FindFlow(t.Context(), "twice")
	require.NoError(t, err)
	require.Equal(t, first, found.ID)

	_, err = c.client.FindFlow(t.Context(), "never")
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	httpxtest.RequireProblem(t, c.Get("/flows/get?id=flow-none"), http.StatusNotFound, "not_found")
	httpxtest.RequireProblem(t, c.Get("/flows/get"), http.StatusBadRequest, "invalid_argument")
	httpxtest.RequireProblem(t, c.Get("/flows/get?id=a&name=b"), http.StatusBadRequest, "invalid_argument")
	httpxtest.RequireProblem(t, c.Get("/flows/get?id=%00"), http.StatusBadRequest, "invalid_argument")
	httpxtest.RequireProblem(t, c.Get("/flows/get?name=%ff"), http.StatusBadRequest, "invalid_argument")
}

func TestListFlows_Pages(t *testing.T) {
	t.Parallel()
	c := setup(t)
	require.JSONEq(t, `{"data":[],"total":0,"page":1,"size":10}`, c.Get("/flows").Body.String())
	var ids []string
	for n := range 25 {
		ids = append([]string{c.flow(fmt.Sprintf("f%d", n%5))}, ids...)
	}

	list, err := c.client.ListFlows(t.Context(), catalogapi.FlowsQuery{})
	require.NoError(t, err)
	require.Len(t, list.Data, 10)
	require.Equal(t, ids[0], list.Data[0].ID, "newest first")
	require.Equal(t, []int{25, 1, 10}, []int{list.Total, list.Page, list.Size})

	list, err = c.client.ListFlows(t.Context(), catalogapi.FlowsQuery{Page: 3, PageSize: 10})
	require.NoError(t, err)
	require.Len(t, list.Data, 5)
	require.Empty(t, list.NextCursor)
	list, err = c.client.ListFlows(t.Context(), catalogapi.FlowsQuery{Page: 9})
	require.NoError(t, err)
	require.Empty(t, list.Data)
	require.Equal(t, 25, list.Total)

	var seen []string
	for cursor := ""; ; {
		list, err := c.client.ListFlows(t.Context(), catalogapi.FlowsQuery{PageSize: 7, Cursor: cursor})
		require.NoError(t, err)
		for _, f := range list.Data {
			seen = append(seen, f.ID)
		}
		if cursor = list.NextCursor; cursor == "" {
			break
		}
	}
	require.Equal(t, ids, seen)

	list, err = c.client.ListFlows(t.Context(), catalogapi.FlowsQuery{Name: "f3"})
	require.NoError(t, err)
	require.Equal(t, 5, list.Total)
	for _, f := range list.Data {
		require.Equal(t, "f3", f.Name)
	}
}

func TestListFlows_NamesEveryFault(t *testing.T) {
	t.Parallel()
	c := setup(t)
	p := httpxtest.RequireProblem(t, c.Get("/flows?page=-1&page_size=1001"), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"page", "page_size"}, httpxtest.FaultPaths(p))
	for _, query := range []string{"page=0", "page=x", "page_size=0", "pageSize=-5", "page=99999999999999999999", "cursor=%00", "name=%00"} {
		httpxtest.RequireProblem(t, c.Get("/api/flows?"+query), http.StatusBadRequest, "invalid_argument")
	}
}

func TestStrict_RefusesUnknownFields(t *testing.T) {
	t.Parallel()
	c := setup(t)
	strict := func(path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Prefer", "handling=strict")
		return c.Do(r)
	}
	p := httpxtest.RequireProblem(t, strict("/flows", `{"name":"a","owner":"me","zone":1}`), http.StatusBadRequest, "unknown_field")
	require.Equal(t, []string{"owner", "zone"}, httpxtest.FaultPaths(p))
	require.Equal(t, http.StatusOK, strict("/flows", `{"Name":"a"}`).Code)
	require.Equal(t, http.StatusOK, c.Post("/flows", `{"name":"a","owner":"me"}`).Code)
}

func TestErrors_HaveOneShape(t *testing.T) {
	t.Parallel()
	c := setup(t)
	httpxtest.RequireProblem(t, c.Post("/flows", `{"name":"a"`), http.StatusBadRequest, "malformed_body")
	httpxtest.RequireProblem(t, c.Post("/flows", `{"name":"`+strings.Repeat("x", 4<<20)+`"}`), http.StatusRequestEntityTooLarge, "body_too_large")
	httpxtest.RequireProblem(t, c.Get("/flow"), http.StatusNotFound, "not_found")
	httpxtest.RequireProblem(t, c.Get("/api/internal/versions/resolve?flow_id=x"), http.StatusNotFound, "not_found")
	for path, allow := range map[string]string{
		"/flows": "GET, HEAD, OPTIONS, POST", "/api/flows/version": "GET, HEAD, OPTIONS, POST", "/flows/version/get": "GET, HEAD, OPTIONS",
	} {
		w := c.Do(httptest.NewRequest(http.MethodDelete, path, http.NoBody))
		httpxtest.RequireProblem(t, w, http.StatusMethodNotAllowed, "method_not_allowed")
		require.Equal(t, allow, w.Header().Get("Allow"))
		require.Equal(t, http.StatusNoContent, c.Do(httptest.NewRequest(http.MethodOptions, path, http.NoBody)).Code)
	}
}

func TestFlows_KeepAnyText(t *testing.T) {
	t.Parallel()
	c := setup(t)
	name := `'; DROP TABLE flows; -- %_ "ünï" 漢字 🚀`
	id := c.flow(name)
	got := httpxtest.Decode[catalogapi.Flow](t, c.Get("/flows/get?name="+url.QueryEscape(name)))
	require.Equal(t, id, got.ID)
	require.Equal(t, name, got.Name)
}

func TestDatabaseAway_AnswersUnavailable(t *testing.T) {
	t.Parallel()
	c := open(t, config(t))
	require.NoError(t, c.service.Ready(t.Context()))
	require.NoError(t, c.service.Close())
	p := httpxtest.RequireProblem(t, c.Get("/flows"), http.StatusServiceUnavailable, "unavailable")
	require.NotContains(t, p.Detail, "closed", "no cause is shown")
	require.Error(t, c.service.Ready(t.Context()))
}

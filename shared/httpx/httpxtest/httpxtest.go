// Package httpxtest is for the tests of services: it calls their handlers
// without a network, and holds refusals to the one form that httpx gives them.
// It knows no service and no route.
package httpxtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// Caller calls a handler.
type Caller struct{ Handler http.Handler }

// Do returns the answer to any request.
func (c Caller) Do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	c.Handler.ServeHTTP(w, r)
	return w
}

// Get asks for a path, its query included.
func (c Caller) Get(path string) *httptest.ResponseRecorder {
	return c.Do(httptest.NewRequest(http.MethodGet, path, http.NoBody))
}

// Post sends a body to a path, its query included.
func (c Caller) Post(path, body string) *httptest.ResponseRecorder {
	return c.Do(httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
}

// Decode reads an answer's JSON.
func Decode[T any](t testing.TB, w *httptest.ResponseRecorder) T {
	t.Helper()
	var out T
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out), w.Body.String())
	return out
}

// RequireProblem holds an answer to the form of all refusals and returns it.
func RequireProblem(t testing.TB, w *httptest.ResponseRecorder, status int, code string) httpx.Problem {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	p := Decode[httpx.Problem](t, w)
	require.Equal(t, code, string(p.Code))
	require.Equal(t, status, p.Status)
	require.NotEmpty(t, p.Detail)
	require.Equal(t, p.Detail, p.Error)
	return p
}

// FaultPaths are where a refused body is at fault, in the order given.
func FaultPaths(p httpx.Problem) []string {
	var paths []string
	for _, f := range p.Faults {
		paths = append(paths, f.Path)
	}
	return paths
}

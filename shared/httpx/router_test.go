package httpx_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

func TestRouter_LogsFailuresButNotCallersThatLeft(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	router, err := httpx.NewRouter(httpx.Deps{Log: zap.New(core)}, []httpx.Route{{
		Method: http.MethodGet, Path: "/flows",
		Handler: func(http.ResponseWriter, *http.Request) error { return errors.New("disk on fire") },
	}})
	require.NoError(t, err)

	gone, leave := context.WithCancel(t.Context())
	leave()
	router.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/flows", http.NoBody).WithContext(gone))
	require.Empty(t, logs.All())

	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/flows", http.NoBody))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.NotContains(t, w.Body.String(), "fire")
	require.Equal(t, 1, logs.FilterMessage("request_failed").Len())
}

func TestRouter_InternalRoutesTakeWhatPublicOnesHandOn(t *testing.T) {
	t.Parallel()
	read := func(w http.ResponseWriter, r *http.Request) error {
		body, err := httpx.ReadBody(r)
		if err != nil {
			return err
		}
		return httpx.WriteJSON(w, http.StatusOK, len(body))
	}
	router, err := httpx.NewRouter(httpx.Deps{Log: zap.NewNop()}, []httpx.Route{
		{Method: http.MethodPost, Path: "/public", Handler: read},
		{Method: http.MethodPost, Path: "/internal", Handler: read, Internal: true},
	})
	require.NoError(t, err)
	for _, test := range []struct {
		path string
		size int
		want int
	}{
		{"/public", httpx.MaxBody, http.StatusOK},
		{"/public", httpx.MaxBody + 1, http.StatusRequestEntityTooLarge},
		{"/internal", httpx.MaxInternalBody, http.StatusOK},
		{"/internal", httpx.MaxInternalBody + 1, http.StatusRequestEntityTooLarge},
	} {
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequest(http.MethodPost, test.path, strings.NewReader(strings.Repeat("x", test.size))))
		require.Equal(t, test.want, w.Code, "%d bytes to %s", test.size, test.path)
	}
}

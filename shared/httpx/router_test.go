package httpx_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

func TestRouter_LogsFailuresButNotCallersThatLeft(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	router, err := httpx.NewRouter(zap.New(core), []httpx.Route{{
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

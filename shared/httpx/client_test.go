package httpx_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// callOf makes a call that the handler answers.
func callOf(t *testing.T, answer http.HandlerFunc) (int, error) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	client, err := httpx.NewClient(server.URL, server.Client())
	require.NoError(t, err)
	return client.Do(t.Context(), httpx.Call{Method: http.MethodPost, Path: "/x"})
}

func TestClient_TellsAProxysRefusalByItsStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]errs.Code{
		http.StatusBadRequest:            errs.InvalidArgument,
		http.StatusForbidden:             errs.Internal,
		http.StatusNotFound:              errs.Unavailable,
		http.StatusRequestEntityTooLarge: errs.BodyTooLarge,
		http.StatusInternalServerError:   errs.Internal,
		http.StatusBadGateway:            errs.Unavailable,
		http.StatusServiceUnavailable:    errs.Unavailable,
		http.StatusGatewayTimeout:        errs.Unavailable,
	} {
		got, err := callOf(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<html><body>nginx</body></html>"))
		})
		require.Equal(t, status, got)
		require.Equal(t, want, errs.CodeOf(err), "%d", status)
	}
}

func TestClient_KeepsThePasswordOfItsURLToItself(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	client, err := httpx.NewClient(strings.Replace(gone.URL, "//", "//me:secret@", 1)+"/base", http.DefaultClient)
	require.NoError(t, err)
	_, err = client.Do(t.Context(), httpx.Call{Method: http.MethodGet, Path: "/x"})
	require.Equal(t, errs.Unavailable, errs.CodeOf(err))
	var told *errs.Error
	require.ErrorAs(t, err, &told)
	require.Equal(t, gone.URL+" cannot be reached", told.Detail)
	for _, base := range []string{"ftp://me:secret@host", "http://me:secret@host:port:x/", "me:secret@host"} {
		_, err = httpx.NewClient(base, http.DefaultClient)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestClient_SendsValuesAsTheyAre(t *testing.T) {
	t.Parallel()
	sent := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent <- string(body)
	}))
	t.Cleanup(server.Close)
	client, err := httpx.NewClient(server.URL, server.Client())
	require.NoError(t, err)
	_, err = client.Do(t.Context(), httpx.Call{Method: http.MethodPost, Path: "/x", In: map[string]any{"result": json.RawMessage(`"<&>"`)}})
	require.NoError(t, err)
	require.Equal(t, `{"result":"<&>"}`, <-sent)
}

func TestClient_TakesAServicesWordForWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, want := range []errs.Code{errs.NotFound, errs.ClaimLost, errs.InvalidArgument, errs.BodyTooLarge, errs.Unavailable} {
		_, err := callOf(t, func(w http.ResponseWriter, r *http.Request) {
			httpx.WriteProblem(w, r, errs.New(want, "as it is"))
		})
		require.Equal(t, want, errs.CodeOf(err))
		require.Equal(t, "as it is", errs.DetailOf(err))
	}
}

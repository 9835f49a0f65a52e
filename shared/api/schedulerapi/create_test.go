package schedulerapi

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

func TestCreateTask_SaysByHeaderThatItMayBeSentAgain(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"order-1/7": "order-1/7",
		"":          "",
		"two\nrows": "", // no header can carry it
		"größe":     "",
	} {
		var got string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r.Header.Get(httpx.HeaderIdempotencyKey)
			_ = httpx.WriteJSON(w, http.StatusOK, Created{ID: "task-1"})
		}))
		client, err := NewClient(server.URL, server.Client())
		require.NoError(t, err)
		task, err := client.CreateTask(t.Context(), CreateTaskRequest{RequestID: id})
		server.Close()
		require.NoError(t, err)
		require.Equal(t, "task-1", task)
		require.Equal(t, want, got)
	}
}

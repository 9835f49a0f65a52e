package execute

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/localfunc"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/workers"
)

// One op is one call of a worker over loopback, the worker's side in it.
func BenchmarkDo_CallsAWorker(b *testing.B) {
	server := httptest.NewServer(answers(200, `{"result":{"ok":true},"error":null}`))
	defer server.Close()
	pool := workers.NewPool(workers.Config{MaxPerWorker: 10, NoWorkerWait: 5 * time.Second}, registry{server.URL}, zap.NewNop())
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		pool.Run(ctx)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	executor := New(Deps{Pool: pool, Funcs: localfunc.Builtin(zap.NewNop()), Log: zap.NewNop()})
	b.ReportAllocs()
	for b.Loop() {
		result, err := executor.Do(b.Context(), "task-1", execution())
		require.NoError(b, err)
		require.Nil(b, result.Error)
	}
}

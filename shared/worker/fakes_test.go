package worker_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/worker"
)

// fakeRegistry keeps workers in a map and says what happens to it.
type fakeRegistry struct {
	url string

	mu      sync.Mutex
	workers map[string]registryapi.RegisterRequest
	away    bool
	refuse  error
	changed chan struct{} // closed at every call
	beats   int
}

func newRegistry(t *testing.T) *fakeRegistry {
	t.Helper()
	f := &fakeRegistry{workers: map[string]registryapi.RegisterRequest{}, changed: make(chan struct{})}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() {
		close(f.changed)
		f.changed = make(chan struct{})
	}()
	if f.away {
		httpx.WriteProblem(w, r, errs.New(errs.Unavailable, "away"))
		return
	}
	var req registryapi.RegisterRequest
	_ = json.NewDecoder(r.Body).Decode(&req)
	switch r.URL.Path {
	case "/workers/register":
		if f.refuse != nil {
			httpx.WriteProblem(w, r, f.refuse)
			return
		}
		f.workers[req.ID] = req
	case "/workers/heartbeat":
		known, ok := f.workers[req.ID]
		if !ok {
			httpx.WriteProblem(w, r, errs.New(errs.NotFound, "unknown worker"))
			return
		}
		known.Load = req.Load
		f.workers[req.ID] = known
		f.beats++
	case "/workers/deregister":
		delete(f.workers, req.ID)
	}
	_ = httpx.WriteJSON(w, http.StatusOK, registryapi.OK{OK: "1"})
}

func (f *fakeRegistry) with(change func(*fakeRegistry)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// await waits until the condition holds after some call.
func (f *fakeRegistry) await(t *testing.T, what string, holds func(*fakeRegistry) bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		f.mu.Lock()
		ok, changed := holds(f), f.changed
		f.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			require.FailNow(t, "never happened: "+what)
		}
	}
}

// awaitWorker waits for the registration of w1 and returns it.
func (f *fakeRegistry) awaitWorker(t *testing.T) registryapi.RegisterRequest {
	t.Helper()
	var got registryapi.RegisterRequest
	f.await(t, "w1 registers", func(f *fakeRegistry) bool {
		var ok bool
		got, ok = f.workers["w1"]
		return ok
	})
	return got
}

// running is a worker that runs until stop, or the test's end.
type running struct {
	stop  context.CancelFunc
	ended <-chan error
}

func run(t *testing.T, w *worker.Worker) running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- w.Run(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		for range ended { // nil when the test took the result
		}
	})
	return running{stop: cancel, ended: ended}
}

func pushConfig(registry *fakeRegistry) worker.Config {
	return worker.Config{ID: "w1", RegistryURL: registry.url, Addr: "127.0.0.1:0", Heartbeat: 20 * time.Millisecond}
}

func newWorker(t *testing.T, cfg worker.Config, services map[string]worker.Handler) *worker.Worker {
	t.Helper()
	w, err := worker.New(cfg, worker.Deps{})
	require.NoError(t, err)
	for name, handler := range services {
		w.Handle(name, handler)
	}
	return w
}

//go:build linux

package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	service = "bench"
	beat    = 5 * time.Second
)

// account is what workers have done for the tasks of one system: the effects
// that each task was to have, by the run that had them.
type account struct {
	mu    sync.Mutex
	tasks map[string]*effects
}

type effects struct {
	runs    map[string]struct{}
	repeats int // deliveries of runs that had been carried out before
	want    int // 0 until whoever created the task says so
	done    chan struct{}
}

func (a *account) of(task string) *effects {
	e := a.tasks[task]
	if e == nil {
		e = &effects{runs: map[string]struct{}{}, done: make(chan struct{})}
		a.tasks[task] = e
	}
	return e
}

// add notes that a run was carried out.
func (a *account) add(task, run string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.of(task)
	if _, known := e.runs[run]; known {
		e.repeats++
		return
	}
	e.runs[run] = struct{}{}
	if len(e.runs) == e.want {
		close(e.done)
	}
}

// await says how many effects a task is to have. The channel is closed when it
// has had them.
func (a *account) await(task string, want int) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.of(task)
	e.want = want
	if len(e.runs) >= want {
		close(e.done)
	}
	return e.done
}

// settle holds the account of a task to what it was to have, each effect once,
// and forgets it.
func (a *account) settle(task string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.of(task)
	delete(a.tasks, task)
	if len(e.runs) != e.want || e.repeats > 0 {
		return fmt.Errorf("task %s had %d effects and %d repeats, want %d", task, len(e.runs), e.repeats, e.want)
	}
	return nil
}

// answer is what work makes of its input: the next number.
func answer(input []byte) ([]byte, error) {
	n, err := strconv.ParseInt(string(input), 10, 64)
	return strconv.AppendInt(nil, n+1, 10), err
}

const (
	beforeInput  = `{"input":`
	beforeParams = `,"params":`
)

// inputOf cuts the number out of {"input":7,"params":…}, which is cheaper than
// to decode it.
func inputOf(body []byte) []byte {
	end := len(beforeInput)
	for end < len(body) && body[end] != ',' {
		end++
	}
	return body[min(len(beforeInput), end):end]
}

// pushWorker serves the push protocol with as little work as there can be, and
// returns its URL.
func pushWorker(b *testing.B, a *account) string {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the caller is gone
		}
		result, err := answer(inputOf(body))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = w.Write(append(append([]byte(`{"result":`), result...), '}'))
		a.add(r.Header.Get(httpx.HeaderTask), r.Header.Get(httpx.HeaderIdempotencyKey))
	}))
	b.Cleanup(server.Close)
	return server.URL
}

// register makes the worker known and keeps it so until it is dismissed or the
// benchmark ends.
func register(b *testing.B, client *suitetest.Client, url string) (dismiss func()) {
	b.Helper()
	require.NoError(b, client.Workers.Register(b.Context(), registryapi.RegisterRequest{
		ID: "bench", URL: url, Type: "http", Services: []string{service},
	}))
	client.AwaitWorker(b, service)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(beat)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				// One that fails is made up for by the next.
				_ = client.Workers.Heartbeat(ctx, registryapi.HeartbeatRequest{ID: "bench"})
			}
		}
	}()
	dismiss = func() {
		stop()
		<-ended
	}
	b.Cleanup(dismiss)
	return dismiss
}

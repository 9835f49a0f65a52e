package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/worker"
)

type services = map[string]worker.Handler

func echo(_ context.Context, job worker.Job) (any, error) { return job, nil }

type reply struct {
	status int
	header http.Header
	body   string
}

// exec calls a service as the scheduler does.
func exec(ctx context.Context, url, runID, body string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewBufferString(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set(httpx.HeaderIdempotencyKey, runID)
	req.Header.Set(httpx.HeaderTask, "task-1")
	req.Header.Set(httpx.HeaderNode, "B")
	req.Header.Set(httpx.HeaderAttempt, "3")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: string(data)}, err
}

func mustExec(t *testing.T, url, runID, body string) reply {
	t.Helper()
	r, err := exec(t.Context(), url, runID, body)
	require.NoError(t, err)
	return r
}

func TestPush_AnswersCalls(t *testing.T) {
	t.Parallel()
	w := newWorker(t, pushConfig(newRegistry(t)), services{
		"echo":  echo,
		"fail":  func(context.Context, worker.Job) (any, error) { return 1, errors.New("no luck") },
		"never": func(context.Context, worker.Job) (any, error) { return nil, worker.Permanent(errors.New("never")) },
		"panic": func(context.Context, worker.Job) (any, error) { panic("ouch") },
		"chan":  func(context.Context, worker.Job) (any, error) { return make(chan int), nil },
		"large": func(context.Context, worker.Job) (any, error) { return strings.Repeat("x", 8<<20), nil },
		"wordy": func(context.Context, worker.Job) (any, error) { return nil, errors.New(strings.Repeat("x", 1<<20)) },
		"mute":  func(context.Context, worker.Job) (any, error) { return nil, errors.New("") },
		"typed": func(_ context.Context, job worker.Job) (any, error) {
			var in struct{ N int }
			return in.N, job.DecodeInput(&in)
		},
	})
	server := httptest.NewServer(w.Handler())
	t.Cleanup(server.Close)

	for i, c := range []struct{ service, body, want string }{
		{"echo", `{"input":{"a":1},"params":{"b":2}}`, `{"result":{"RunID":"run-0","TaskID":"task-1","Node":"B","Service":"echo","Attempt":3,"Input":{"a":1},"Params":{"b":2}},"error":""}`},
		{"echo", `{"params":null}`, `{"result":{"RunID":"run-1","TaskID":"task-1","Node":"B","Service":"echo","Attempt":3,"Input":null,"Params":{}},"error":""}`},
		{"fail", `{}`, `{"result":null,"error":"no luck"}`},
		{"never", `{}`, `{"result":null,"error":"never","retryable":false}`},
		{"panic", `{}`, `{"result":null,"error":"panic: ouch"}`},
		{"chan", `{}`, `{"result":null,"error":"encode the result: json: unsupported type: chan int","retryable":false}`},
		{"large", `{}`, `{"result":null,"error":"the result is 8388610 bytes, at most 8323072 are taken","retryable":false}`},
		{"wordy", `{}`, `{"result":null,"error":"` + strings.Repeat("x", 16<<10) + `…"}`},
		{"mute", `{}`, `{"result":null,"error":"*errors.errorString without a text"}`},
		{"typed", `{"input":7}`, `{"result":null,"error":"input: json: cannot unmarshal number into Go value of type struct { N int }","retryable":false}`},
	} {
		got := mustExec(t, server.URL+"/exec/"+c.service, fmt.Sprintf("run-%d", i), c.body)
		require.Equal(t, http.StatusOK, got.status)
		require.JSONEq(t, c.want, got.body, c.service)
	}
}

func TestPush_RefusesCallsThatAreWrongInThemselves(t *testing.T) {
	t.Parallel()
	w := newWorker(t, pushConfig(newRegistry(t)), services{"echo": echo})
	server := httptest.NewServer(w.Handler())
	t.Cleanup(server.Close)

	got := mustExec(t, server.URL+"/exec/other", "", `{}`)
	require.Equal(t, http.StatusNotFound, got.status)
	require.Contains(t, got.body, `"code":"not_found"`)

	got = mustExec(t, server.URL+"/exec/echo", "", `{"input":`)
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.body, `"code":"malformed_body"`)

	got = mustExec(t, server.URL+"/exec/echo", "", `{"input":"`+strings.Repeat("x", 16<<20)+`"}`)
	require.Equal(t, http.StatusRequestEntityTooLarge, got.status)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/exec/echo", http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	require.Equal(t, "POST", resp.Header.Get("Allow"))
}

// gate is a handler that says when it started and waits to be let through.
type gate struct {
	started chan struct{}
	open    chan struct{}
	calls   atomic.Int32
}

func newGate() *gate {
	return &gate{started: make(chan struct{}, 16), open: make(chan struct{})}
}

func (g *gate) handle(ctx context.Context, _ worker.Job) (any, error) {
	n := g.calls.Add(1)
	g.started <- struct{}{}
	select {
	case <-g.open:
		return n, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestPush_SendsCallsOverItsConcurrencyElsewhere(t *testing.T) {
	t.Parallel()
	cfg := pushConfig(newRegistry(t))
	cfg.MaxConcurrency = 1
	g := newGate()
	w := newWorker(t, cfg, services{"slow": g.handle})
	server := httptest.NewServer(w.Handler())
	t.Cleanup(server.Close)

	first := make(chan reply, 1)
	go func() {
		r, _ := exec(t.Context(), server.URL+"/exec/slow", "run-1", `{}`)
		first <- r
	}()
	<-g.started
	require.Equal(t, 1, w.Load())
	got := mustExec(t, server.URL+"/exec/slow", "run-2", `{}`)
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Contains(t, got.body, `"code":"unavailable"`)

	close(g.open)
	require.JSONEq(t, `{"result":1,"error":""}`, (<-first).body)
	require.Equal(t, 0, w.Load())
	require.JSONEq(t, `{"result":2,"error":""}`, mustExec(t, server.URL+"/exec/slow", "run-2", `{}`).body,
		"a refusal is not remembered")
}

func TestPush_SecondDeliveryOfARunIsNoSecondExecution(t *testing.T) {
	t.Parallel()
	cfg := pushConfig(newRegistry(t))
	cfg.MaxConcurrency = 1 // a delivery that joins takes no slot
	g := newGate()
	w := newWorker(t, cfg, services{"slow": g.handle})
	server := httptest.NewServer(w.Handler())
	t.Cleanup(server.Close)

	replies := make(chan reply, 2)
	deliver := func() {
		r, _ := exec(t.Context(), server.URL+"/exec/slow", "run-1", `{}`)
		replies <- r
	}
	go deliver()
	<-g.started
	go deliver()
	close(g.open)
	require.JSONEq(t, `{"result":1,"error":""}`, (<-replies).body)
	require.JSONEq(t, `{"result":1,"error":""}`, (<-replies).body)
	require.JSONEq(t, `{"result":1,"error":""}`, mustExec(t, server.URL+"/exec/slow", "run-1", `{}`).body)
	require.EqualValues(t, 1, g.calls.Load())
}

func TestPush_CallerThatHangsUpEndsTheExecution(t *testing.T) {
	t.Parallel()
	g := newGate()
	w := newWorker(t, pushConfig(newRegistry(t)), services{"slow": g.handle})
	server := httptest.NewServer(w.Handler())
	t.Cleanup(server.Close)

	ctx, hangUp := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := exec(ctx, server.URL+"/exec/slow", "run-1", `{}`)
		gone <- err
	}()
	<-g.started
	hangUp()
	require.Error(t, <-gone)

	// The run comes again, maybe before the first execution has ended; what
	// that one failed with is nobody's answer.
	close(g.open)
	require.Contains(t, mustExec(t, server.URL+"/exec/slow", "run-1", `{}`).body, `"error":""`)
}

func TestPush_LinesOfAJobGoToTheWorkersLog(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	w, err := worker.New(pushConfig(newRegistry(t)), worker.Deps{Log: zap.New(core)})
	require.NoError(t, err)
	w.Handle("echo", func(_ context.Context, job worker.Job) (any, error) {
		job.Log("took a deep breath")
		return nil, nil
	})
	server := httptest.NewServer(w.Handler())
	t.Cleanup(server.Close)
	mustExec(t, server.URL+"/exec/echo", "run-1", `{}`)
	lines := logs.FilterMessage("job_log").All()
	require.Len(t, lines, 1)
	require.Equal(t, map[string]any{"run_id": "run-1", "line": "took a deep breath"}, lines[0].ContextMap())
}

func TestRun_RegistersAndHeartbeatsWithItsLoad(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t)
	g := newGate()
	cfg := pushConfig(registry)
	cfg.Labels = map[string]string{"zone": "a"}
	run(t, newWorker(t, cfg, services{"slow": g.handle, "echo": echo}))

	reg := registry.awaitWorker(t)
	require.Equal(t, []string{"echo", "slow"}, reg.Services)
	require.Equal(t, "http", reg.Type)
	require.Equal(t, map[string]string{"zone": "a"}, reg.Labels)

	done := make(chan reply, 1)
	go func() {
		r, _ := exec(t.Context(), reg.URL+"/exec/slow", "run-1", `{}`)
		done <- r
	}()
	registry.await(t, "load 1", func(f *fakeRegistry) bool { return f.workers["w1"].Load == 1 })
	close(g.open)
	<-done
	registry.await(t, "load 0", func(f *fakeRegistry) bool { return f.workers["w1"].Load == 0 })

	resp, err := http.Get(reg.URL + "/readyz") //nolint:noctx // bounded by the test
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestRun_RegistersAgainWhenForgotten(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t)
	run(t, newWorker(t, pushConfig(registry), services{"echo": echo}))
	registry.awaitWorker(t)
	registry.with(func(f *fakeRegistry) { clear(f.workers) })
	registry.awaitWorker(t)
}

func TestRun_WaitsForARegistryThatIsAway(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t)
	registry.away = true
	run(t, newWorker(t, pushConfig(registry), services{"echo": echo}))
	tries := 0
	registry.await(t, "three tries", func(*fakeRegistry) bool { tries++; return tries > 3 })
	registry.with(func(f *fakeRegistry) { f.away = false })
	registry.awaitWorker(t)
}

func TestRun_EndsWhenTheRegistrationIsRefused(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t)
	registry.refuse = errs.New(errs.InvalidArgument, "url: not allowed")
	r := run(t, newWorker(t, pushConfig(registry), services{"echo": echo}))
	require.ErrorContains(t, <-r.ended, "url: not allowed")
}

func TestRun_DrainsAfterDeregistering(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t)
	g := newGate()
	r := run(t, newWorker(t, pushConfig(registry), services{"slow": g.handle}))
	reg := registry.awaitWorker(t)

	done := make(chan reply, 1)
	go func() {
		r, _ := exec(t.Context(), reg.URL+"/exec/slow", "run-1", `{}`)
		done <- r
	}()
	<-g.started
	r.stop()
	registry.await(t, "deregistered while work is under way", func(f *fakeRegistry) bool { return len(f.workers) == 0 })
	close(g.open)
	require.JSONEq(t, `{"result":1,"error":""}`, (<-done).body)
	require.NoError(t, <-r.ended)
}

func TestRun_CutsOffWorkPastTheDrainTime(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t)
	g := newGate()
	cfg := pushConfig(registry)
	cfg.Drain = 20 * time.Millisecond
	r := run(t, newWorker(t, cfg, services{"slow": g.handle}))
	reg := registry.awaitWorker(t)
	failed := make(chan error, 1)
	go func() {
		_, err := exec(t.Context(), reg.URL+"/exec/slow", "run-1", `{}`)
		failed <- err
	}()
	<-g.started
	r.stop()
	require.NoError(t, <-r.ended)
	require.Error(t, <-failed)
}

func TestRun_NamesWrongUse(t *testing.T) {
	t.Parallel()
	w := newWorker(t, pushConfig(newRegistry(t)), nil)
	require.ErrorContains(t, w.Run(t.Context()), "there is no service")

	w = newWorker(t, pushConfig(newRegistry(t)), services{"echo": echo})
	w.Handle("echo", echo)
	w.Handle("", nil)
	err := w.Run(t.Context())
	require.ErrorContains(t, err, `"echo" is handled twice`)
	require.ErrorContains(t, err, `service "": a name and a handler are required`)
}

func TestNew_NamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := worker.New(worker.Config{Mode: worker.Pull, Visibility: time.Millisecond, Slots: 1000, Drain: -1, Addr: "x"}, worker.Deps{})
	for _, want := range []string{"RegistryURL is required", "QueueURL is required", "Slots must be", "Visibility must be", "Drain must not", `Addr "x"`} {
		require.ErrorContains(t, err, want)
	}
	_, err = worker.New(worker.Config{Mode: worker.Pull, QueueURL: "http://x", Visibility: 12*time.Hour + 1}, worker.Deps{})
	require.EqualError(t, err, "worker config: Visibility must be from 1s to 12h0m0s")
	_, err = worker.New(worker.Config{Mode: worker.Pull, QueueURL: "http://x", Visibility: 12 * time.Hour}, worker.Deps{})
	require.NoError(t, err)
	_, err = worker.New(worker.Config{Mode: "shove", RegistryURL: "http://x"}, worker.Deps{})
	require.ErrorContains(t, err, `Mode "shove" is not one of [push pull]`)
}

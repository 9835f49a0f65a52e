package suite

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/app"
)

func throwaway(t *testing.T) Config {
	t.Helper()
	cfg, err := Throwaway(t.TempDir())
	require.NoError(t, err)
	return cfg
}

func open(t *testing.T, cfg Config) (*Suite, error) {
	t.Helper()
	return New(t.Context(), cfg, Deps{Log: zap.NewNop()})
}

func TestSuite_ServesAllServicesThroughTheGateway(t *testing.T) {
	t.Parallel()
	s, err := open(t, throwaway(t))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()

	require.NoError(t, s.Ready(t.Context()))
	for _, path := range []string{"/workers/list", "/flows", "/tasks", "/queue/stats", "/openapi.yaml"} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		require.Equal(t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
	}
	stop()
	require.NoError(t, <-done)
	require.NoError(t, s.Close())
}

func TestSuite_ExplainsWhyItCannotStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))

	cfg := throwaway(t)
	cfg.Data = filepath.Join(file, "data")
	_, err := open(t, cfg)
	require.EqualError(t, err, "data directory "+cfg.Data+": not a directory")

	cfg = throwaway(t)
	cfg.Scheduler.DB = "mysql://somewhere"
	_, err = open(t, cfg)
	require.ErrorContains(t, err, `scheduler: open the scheduler database`)
	require.ErrorContains(t, err, `unknown scheme "mysql"`)

	// The databases that the failed attempt had opened are free again.
	cfg.Scheduler.DB = inData("scheduler")
	s, err := open(t, cfg)
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestSuite_RefusesADirectoryThatAnotherSuiteHas(t *testing.T) {
	t.Parallel()
	cfg := throwaway(t)
	first, err := open(t, cfg)
	require.NoError(t, err)
	_, err = open(t, cfg)
	require.ErrorContains(t, err, "in use by another process")
	require.NoError(t, first.Close())
}

// recorded is a service that writes down what happens to it.
type recorded struct {
	name string
	book *book
	fail chan error
}

type book struct {
	mu    sync.Mutex
	lines []string
}

func (b *book) write(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
}

func (r recorded) Handler() http.Handler       { return http.NotFoundHandler() }
func (r recorded) Ready(context.Context) error { return nil }
func (r recorded) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		r.book.write("drained " + r.name)
		return nil
	case err := <-r.fail:
		return err
	}
}
func (r recorded) Close() error { r.book.write("closed " + r.name); return nil }

func record(names ...string) (*Suite, *book, map[string]chan error) {
	b, fails := &book{}, map[string]chan error{}
	s := &Suite{}
	for _, name := range names {
		fails[name] = make(chan error, 1)
		s.parts = append(s.parts, part{name: name, Service: recorded{name: name, book: b, fail: fails[name]}})
	}
	return s, b, fails
}

func TestSuite_StopsInTheReverseOrderOfStart(t *testing.T) {
	t.Parallel()
	s, book, _ := record("first", "second", "third")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, s.Run(ctx))
	require.NoError(t, s.Close())
	require.Equal(t, []string{
		"drained third", "drained second", "drained first",
		"closed third", "closed second", "closed first",
	}, book.lines)
}

func TestSuite_StopsAllWhenOneFails(t *testing.T) {
	t.Parallel()
	s, book, fails := record("first", "second", "third")
	fails["second"] <- errors.New("disk full")
	require.EqualError(t, s.Run(t.Context()), "second: disk full")
	require.Equal(t, []string{"drained third", "drained first"}, book.lines)
}

var _ app.Service = (*Suite)(nil)

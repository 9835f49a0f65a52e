package runner

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/plans"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

// patience bounds every wait of these tests; none of them needs it.
const patience = 20 * time.Second

func openStore(t *testing.T) storage.Tasks {
	t.Helper()
	store, err := connect.Tasks(t.Context(), filepath.Join(t.TempDir(), "scheduler.db"), connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// executorFunc is an executor made of one function.
type executorFunc func(ctx context.Context, taskID string, x engine.Execution) (engine.RunResult, error)

func (f executorFunc) Do(ctx context.Context, taskID string, x engine.Execution) (engine.RunResult, error) {
	return f(ctx, taskID, x)
}

// echo answers at once with the execution's path.
func echo(_ context.Context, _ string, x engine.Execution) (engine.RunResult, error) {
	return engine.RunResult{RunID: x.RunID, Result: json.RawMessage(`"` + x.Path + `"`)}, nil
}

// until answers as echo does once release is closed.
func until(release <-chan struct{}) executorFunc {
	return func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		select {
		case <-release:
			return echo(ctx, id, x)
		case <-ctx.Done():
			return engine.RunResult{}, ctx.Err()
		}
	}
}

// catalog is the plans of a test; away makes it unreachable.
type catalog struct {
	mu       sync.Mutex
	versions map[string]*plans.Version
	away     bool
}

func (c *catalog) Get(_ context.Context, id string) (*plans.Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return nil, errs.New(errs.Unavailable, "away")
	}
	return c.versions[id], nil
}

func (c *catalog) Known(id string) (*plans.Version, bool) {
	version, err := c.Get(context.Background(), id)
	return version, err == nil && version != nil
}

// ResolveRef knows versions by their flow's name.
func (c *catalog) ResolveRef(ctx context.Context, ref flow.Ref) (*plans.Version, error) {
	version, err := c.Get(ctx, ref.Name)
	if err == nil && version == nil {
		return nil, errs.New(errs.NotFound, "the flow %q has no published version", ref.Name)
	}
	return version, err
}

func (c *catalog) setAway(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}

func compile(t *testing.T, id, definition string) *plans.Version {
	t.Helper()
	def, faults := flow.Parse([]byte(definition))
	require.Empty(t, faults)
	plan, err := flow.Compile(def)
	require.NoError(t, err)
	return &plans.Version{ID: id, FlowID: "flow-1", FlowName: "f", Number: 1, Status: storage.VersionPublished, Plan: plan}
}

// offers keeps what was offered to the outbox.
type offers struct {
	mu       sync.Mutex
	messages []storage.OutboxMessage
}

func (o *offers) Offer(messages []storage.OutboxMessage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.messages = append(o.messages, messages...)
}

// fixture is a runner over a real store.
type fixture struct {
	*Runner
	t       *testing.T
	catalog *catalog
	stop    func() // ends Run and waits for it
	// attending are calls that a test leaves behind for a moment.
	attending sync.WaitGroup
}

type option func(*Config, *Deps)

const threeSteps = `{"start":"a","nodes":{
	"a":{"kind":"executor","service":"s","post":{"output_key":"a"}},
	"b":{"kind":"executor","service":"s","post":{"output_key":"b"}},
	"c":{"kind":"executor","service":"s","post":{"output_key":"c"}}},
	"edges":[{"from":"a","to":"b"},{"from":"b","to":"c"}]}`

const oneNode = `{"start":"a","nodes":{"a":{"kind":"executor","service":"s","post":{"output_key":"a"}}}}`

// setup makes a runner; start it with run.
func setup(t *testing.T, store storage.Tasks, do executorFunc, options ...option) *fixture {
	t.Helper()
	f := &fixture{t: t, catalog: &catalog{versions: map[string]*plans.Version{
		"three": compile(t, "three", threeSteps),
		"one":   compile(t, "one", oneNode),
	}}}
	config := Config{
		Owner: t.Name(), Ownership: Shared, LeaseTTL: 5 * time.Second, PollInterval: 20 * time.Millisecond,
		MaxInFlight: 100, Drain: patience, Limits: engine.Limits{MaxSteps: 1000, AttemptTimeout: patience, MaxValue: 1 << 20, MaxParallel: 100, MaxNesting: 16},
	}
	deps := Deps{
		Store: store, Plans: f.catalog, Executor: do, Outbox: &offers{},
		Log: zap.NewNop(), Now: storage.Now,
	}
	for _, o := range options {
		o(&config, &deps)
	}
	f.Runner = New(config, deps)
	return f
}

func (f *fixture) run() *fixture {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	var once sync.Once
	f.stop = func() {
		once.Do(func() {
			cancel()
			require.NoError(f.t, <-ended)
		})
	}
	f.t.Cleanup(f.stop)
	require.Eventually(f.t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.accepting
	}, patience, time.Millisecond)
	return f
}

func (f *fixture) create(version string) string {
	f.t.Helper()
	v, err := f.catalog.Get(f.t.Context(), version)
	require.NoError(f.t, err)
	outcome, err := f.Create(f.t.Context(), CreateParams{Version: v, Params: json.RawMessage(`{}`)})
	require.NoError(f.t, err)
	require.NoError(f.t, outcome.Err)
	return outcome.Task.ID
}

func (f *fixture) until(id string, done func(storage.Task) bool) storage.Task {
	f.t.Helper()
	var task storage.Task
	require.Eventually(f.t, func() bool {
		var err error
		task, err = f.Store.GetTask(f.t.Context(), id)
		return err == nil && done(task)
	}, patience, time.Millisecond)
	return task
}

func (f *fixture) untilStatus(id string, want storage.TaskStatus) storage.Task {
	f.t.Helper()
	return f.until(id, func(task storage.Task) bool { return task.Status == want })
}

func (f *fixture) send(id, key string) storage.AppendOutcome {
	f.t.Helper()
	outcomes, err := f.Store.AppendEvents(f.t.Context(), []storage.InboxEvent{{
		TaskID: id, SourceID: "signal:" + key, Kind: storage.EventSignal,
		Data: json.RawMessage(`{"key":"` + key + `","value":1}`), At: storage.Now(),
	}})
	require.NoError(f.t, err)
	return outcomes[0]
}

func (f *fixture) cancelTask(id string) {
	f.t.Helper()
	outcomes, err := f.Store.AppendEvents(f.t.Context(), []storage.InboxEvent{{
		TaskID: id, SourceID: "cancel", Kind: storage.EventCancel, Data: json.RawMessage(`{}`), At: storage.Now(),
	}})
	require.NoError(f.t, err)
	require.NoError(f.t, outcomes[0].Err)
}

func sharedOf(t *testing.T, task storage.Task) map[string]any {
	t.Helper()
	var shared map[string]any
	require.NoError(t, json.Unmarshal(task.Shared, &shared))
	return shared
}

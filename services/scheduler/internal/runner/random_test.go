package runner

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine/enginetest"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/plans"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

const (
	// flowsVariable and seedVariable set how many flows are drawn, and draw
	// those of another run again. Which replica is how far when it dies, and what
	// comes first, is up to the machine.
	flowsVariable = "POCKETFLOW_RANDOM_FLOWS"
	seedVariable  = "POCKETFLOW_RANDOM_SEED"
	// serverVariable names a PostgreSQL server to do the same on.
	serverVariable = "POCKETFLOW_TEST_POSTGRES_URL"

	defaultFlows = 150
	shortFlows   = 40
	// atOnce is how many of the tasks are under way.
	atOnce = 12
	// endsWithin is no measure of speed: a task that is not moved on by anyone
	// any more has no end at all.
	endsWithin = 60 * time.Second
)

// Flows of all kinds run on two replicas that share a database and die now and
// then, while results come in any order, twice or late, by way of the inbox or as
// a step at once, and signals, cancels and single steps come at any time. Then:
//
//   - Every task ends, however often its replica died.
//   - Terminal is final: what comes later changes nothing.
//   - The log alone gives the task again: the state byte for byte, and every run
//     as it is stored.
//   - No run is finished twice, and none is left open.
//   - What was accepted is in the log once, and the inbox is empty.
func TestTasks_EndWhateverHappensAndAsTheirLogsTell(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, seedVariable)
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		playRandom(t, openStore(t), seed)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := os.Getenv(serverVariable)
		if url == "" {
			t.Skip(serverVariable + " is not set")
		}
		store, err := connect.Tasks(t.Context(), url, connect.Options{Migration: connect.MigrateOnOpen})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		playRandom(t, store, seed)
	})
}

func randomFlows(t *testing.T) int {
	t.Helper()
	if text := os.Getenv(flowsVariable); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err, flowsVariable)
		return n
	}
	if testing.Short() {
		return shortFlows
	}
	return defaultFlows
}

func playRandom(t *testing.T, store storage.Tasks, seed uint64) {
	t.Helper()
	t.Logf("%s=%d draws these flows again", seedVariable, seed)
	w := newRandomWorld(t, store, seed)
	w.players = make([]*player, randomFlows(t))
	for i := range w.players {
		w.players[i] = w.newPlayer(i)
	}
	w.bear(0)
	w.bear(1)
	played := make(chan error, 1)
	go func() { played <- w.play(t.Context()) }()
	require.NoError(t, w.replaceTheDeadUntil(played))

	ended := map[storage.TaskStatus]int{}
	steps := 0
	for _, p := range w.players {
		p.holdReplay(t)
		ended[p.ended.Status]++
		steps += int(p.ended.Seq)
	}
	t.Logf("%v after %d events, %d replicas", ended, steps, w.born)
}

// play executes all tasks.
func (w *randomWorld) play(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, p := range w.players {
		group.Go(func() error { return p.play(ctx) })
	}
	return group.Wait()
}

// randomWorld is two replicas on one database, and what the tasks need from
// elsewhere. All that is drawn in it follows from the seed and from what it is
// drawn for.
type randomWorld struct {
	t       *testing.T
	store   storage.Tasks
	seed    uint64
	catalog *catalog
	players []*player

	mu   sync.RWMutex
	live [2]*replica
	born int
}

func newRandomWorld(t *testing.T, store storage.Tasks, seed uint64) *randomWorld {
	t.Helper()
	return &randomWorld{t: t, store: store, seed: seed, catalog: &catalog{versions: map[string]*plans.Version{}}}
}

// chance is the dice for one purpose.
func (w *randomWorld) chance(purpose ...any) *rand.Rand {
	hash := fnv.New64a()
	fmt.Fprintln(hash, purpose...)
	return rand.New(rand.NewPCG(w.seed, hash.Sum64()))
}

// newPlayer draws a task, and publishes its flows.
func (w *randomWorld) newPlayer(number int) *player {
	w.t.Helper()
	name := strconv.Itoa(number) + "-"
	dice := w.chance("player", number)
	drawn := rapid.Custom(func(t *rapid.T) enginetest.Task {
		return enginetest.DrawTask(t, enginetest.Options{Names: name, VisitsPerStep: visitsPerStep, Now: time.Now(), Second: secondOfFlows})
	}).Example(dice.Int())
	w.catalog.versions[name] = compile(w.t, name, drawn.Definition)
	for flow, definition := range drawn.Named {
		w.catalog.versions[flow] = compile(w.t, flow, definition)
	}
	return &player{
		randomWorld: w, dice: dice, drawn: drawn, version: w.catalog.versions[name],
		jobs: map[string]storage.NodeRun{}, accepted: map[string]accepted{},
	}
}

const (
	// secondOfFlows makes what flows wait for about as long as what they do.
	secondOfFlows = 5 * time.Millisecond
	// visitsPerStep is the engine's: some tasks need more than one step without
	// an event.
	visitsPerStep = 200
)

// execute takes a moment, sometimes a long one, and ends in any way.
func (w *randomWorld) execute(ctx context.Context, taskID string, x engine.Execution) (engine.RunResult, error) {
	task, err := w.store.GetTask(ctx, taskID)
	if err != nil {
		return engine.RunResult{}, err
	}
	dice := w.chance("run", task.FlowVersionID, x.Path, x.Visit, x.Attempt)
	lasts := time.Duration(dice.IntN(4)) * time.Millisecond
	if dice.IntN(20) == 0 {
		lasts = 30 * time.Millisecond
	}
	late := x.Timeout > 0 && x.Timeout < lasts
	if late {
		lasts = x.Timeout
	}
	if !pause.For(ctx, lasts) {
		return engine.RunResult{}, ctx.Err()
	}
	if late {
		return engine.RunResult{RunID: x.RunID, Error: &engine.RunError{Code: engine.CodeTimeout, Message: "late"}}, nil
	}
	return resultOf(dice, x.RunID, x.Path), nil
}

// resultOf draws how a run ends.
func resultOf(dice *rand.Rand, runID, path string) engine.RunResult {
	result := engine.RunResult{RunID: runID, WorkerID: "w"}
	switch dice.IntN(12) {
	case 0, 1:
		result.Error = &engine.RunError{Code: "worker_error", Message: "no luck with " + path, Final: dice.IntN(8) == 0}
	case 2:
		result.Error = &engine.RunError{Code: engine.CodeTimeout, Message: "late"}
	case 3:
		// No result at all, which is null.
	case 4:
		result.Result = []byte("true") // as a signal would say
	default:
		result.Result = rapid.Custom(func(t *rapid.T) []byte { return enginetest.DrawResult(t, runID) }).Example(dice.Int())
	}
	return result
}

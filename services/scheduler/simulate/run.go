package simulate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/execute"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/localfunc"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// Config is what is simulated.
type Config struct {
	// Definition is what flow.Check found nothing wrong with.
	Definition *flow.Definition
	Params     json.RawMessage // of the task, an object; nil: the script's
	Script     *Script         // nil: nothing comes from outside

	// Flows are the flows that subflows refer to, by name or id; "name@2" for
	// one version alone, which goes first.
	Flows map[string]*flow.Definition

	// Worker answers executions that the script does not, when it returns
	// true. References in its results are not followed. Nil: nobody does.
	Worker func(Call) (Answer, bool)

	Limits Limits
}

// Limits apply where a definition sets none of its own. The zero value of each
// is the scheduler's default.
type Limits struct {
	MaxSteps       int
	AttemptTimeout time.Duration
	MaxValue       int // bytes of an input and of the shared state
	MaxParallel    int // branches of one node that are open at once
	MaxNesting     int // subflows inside subflows
}

func (l Limits) engine() engine.Limits {
	return engine.Limits{
		MaxSteps:       cmp.Or(l.MaxSteps, 10_000),
		AttemptTimeout: cmp.Or(l.AttemptTimeout, 30*time.Second),
		MaxValue:       cmp.Or(l.MaxValue, 16<<20),
		MaxParallel:    cmp.Or(l.MaxParallel, 100),
		MaxNesting:     cmp.Or(l.MaxNesting, 16),
	}
}

// taskID is the same in every simulation, and with it are the ids of the runs.
const taskID = "task-00000000-0000-7000-8000-000000000000"

// Run simulates one task until it ends or the script does not go on. The error
// is for what cannot be simulated (an *errs.Error with the faults, when the
// script or the params have any) and for the end of ctx; a task that fails is
// none.
func Run(ctx context.Context, cfg Config) (*Trace, error) {
	script := cfg.Script
	if script == nil {
		script = &Script{}
	}
	if err := errs.Invalid(errs.InvalidArgument, script.check()); err != nil {
		return nil, err
	}
	params := cmp.Or(asString(cfg.Params), asString(script.Params), "{}")
	if !json.Valid([]byte(params)) || rawjson.TypeOf(json.RawMessage(params)) != rawjson.Object {
		return nil, errs.New(errs.InvalidArgument, "params must be a JSON object")
	}
	if cfg.Definition == nil {
		return nil, errs.New(errs.InvalidArgument, "there is no definition to simulate")
	}
	plan, err := flow.Compile(cfg.Definition)
	if err != nil {
		return nil, fmt.Errorf("compile the flow: %w", err)
	}
	flows := make(map[string]*flow.Plan, len(cfg.Flows))
	for _, name := range sortedKeys(cfg.Flows) {
		if flows[name], err = flow.Compile(cfg.Flows[name]); err != nil {
			return nil, fmt.Errorf("compile the flow %s: %w", name, err)
		}
	}
	log := zap.NewNop()
	start := cmp.Or(script.StartAt, DefaultStart)
	s := &simulation{
		program: engine.Program{
			Plan: plan, TaskID: taskID, Params: json.RawMessage(params),
			Limits: cfg.Limits.engine(), Flows: flows,
		},
		script: script, answers: newAnswers(script), worker: cfg.Worker,
		local: execute.New(execute.Deps{Funcs: localfunc.Builtin(log), Log: log}),
		state: engine.NewState(),
		start: start, now: start,
		trace:    &Trace{StartedAt: start, Params: json.RawMessage(params)},
		pending:  map[string]*execution{},
		versions: map[string]string{}, bound: map[boundFlow]*flow.Plan{},
		last: map[string]visit{},
		sent: make([]bool, len(script.Signals)),
	}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	return s.finished(), nil
}

func asString(raw json.RawMessage) string { return string(raw) }

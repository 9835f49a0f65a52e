package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/remote"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Result is how one scenario went.
type Result struct {
	Title  string             `json:"title"`
	Task   schedulerapi.Task  `json:"task"`
	Runs   []schedulerapi.Run `json:"runs"`
	Faults []string           `json:"faults"` // what is not as expected; empty when all is well
}

// OK reports whether everything was as expected.
func (r Result) OK() bool { return len(r.Faults) == 0 }

// Viewer sees the demo while it runs. Its methods are called one at a time.
type Viewer interface {
	// Applied is called for every example that was published.
	Applied(remote.Applied)
	// Started is called before the task of a scenario is created.
	Started(Scenario)
	// Task is called at every look at the task under way.
	Task(schedulerapi.Task)
	// Finished is called when a scenario has ended and was checked.
	Finished(Result)
}

// Run publishes the examples and runs every scenario. It fails when the demo
// cannot be run; a scenario that went wrong is no error but has faults.
func Run(ctx context.Context, srv *remote.Server, see Viewer) ([]Result, error) {
	if err := awaitWorkers(ctx, srv.Workers); err != nil {
		return nil, err
	}
	versions := map[Example]string{}
	for _, example := range Examples {
		def, err := example.Definition()
		if err != nil {
			return nil, err
		}
		applied, err := srv.Apply(ctx, example.FlowName(), def)
		if err != nil {
			return nil, err
		}
		versions[example] = applied.VersionID
		see.Applied(applied)
	}
	var results []Result
	for _, scenario := range Scenarios() {
		result, err := run(ctx, srv, runParams{scenario: scenario, versionID: versions[scenario.Example], see: see})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", scenario.Title, err)
		}
		see.Finished(result)
		results = append(results, result)
	}
	return results, nil
}

type runParams struct {
	scenario  Scenario
	versionID string
	see       Viewer
}

func run(ctx context.Context, srv *remote.Server, p runParams) (Result, error) {
	p.see.Started(p.scenario)
	id, err := srv.Tasks.CreateTask(ctx, schedulerapi.CreateTaskRequest{
		FlowVersionID: p.versionID, Params: json.RawMessage(p.scenario.Params),
	})
	if err != nil {
		return Result{}, err
	}
	task, err := srv.Follow(ctx, id, p.see.Task)
	if err != nil {
		return Result{}, err
	}
	runs, err := srv.Tasks.ListRuns(ctx, id)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Title: p.scenario.Title, Task: task, Runs: runs,
		Faults: append([]string{}, p.scenario.verify(task, runs)...),
	}, nil
}

// services are what the examples need of workers.
var services = []string{"route", "transform", "sum"}

// Workers that were started together with the demo need a moment to register.
const (
	workerPatience = 10 * time.Second
	workerLook     = 50 * time.Millisecond
)

// awaitWorkers waits until every service is offered by a worker that is online.
func awaitWorkers(ctx context.Context, workers *registryapi.Client) error {
	patient, cancel := context.WithTimeout(ctx, workerPatience)
	defer cancel()
	ticker := time.NewTicker(workerLook)
	defer ticker.Stop()
	for {
		missing, err := unoffered(patient, workers)
		if err == nil && missing == "" {
			return nil
		}
		if err != nil && patient.Err() == nil {
			return fmt.Errorf("list the workers: %w", err)
		}
		select {
		case <-ticker.C:
		case <-patient.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return errs.New(errs.NoWorker, "no http worker that is online offers %q; start one with demo-worker", missing)
		}
	}
}

// unoffered is the first service that no online worker of the pushed kind, which
// the examples need, offers; "" when none is missing.
func unoffered(ctx context.Context, workers *registryapi.Client) (string, error) {
	all, err := workers.List(ctx, "")
	if err != nil {
		return "", err
	}
	for _, service := range services {
		if !slices.ContainsFunc(all, func(w registryapi.Worker) bool {
			return w.Status == "online" && w.Type == string(storage.WorkerHTTP) && slices.Contains(w.Services, service)
		}) {
			return service, nil
		}
	}
	return "", nil
}

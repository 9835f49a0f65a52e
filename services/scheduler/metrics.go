package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/execute"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/outbox"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/runner"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/obs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// metrics are those of the scheduler's parts.
type metrics struct {
	requests *httpx.Metrics
	runner   *runner.Metrics
	calls    *execute.Metrics
	outbox   *outbox.Metrics
}

func newMetrics(registerer prometheus.Registerer) (metrics, error) {
	requests, err1 := httpx.NewMetrics(registerer, "scheduler")
	steps, err2 := runner.NewMetrics(registerer)
	calls, err3 := execute.NewMetrics(registerer)
	messages, err4 := outbox.NewMetrics(registerer)
	return metrics{requests, steps, calls, messages}, errors.Join(err1, err2, err3, err4)
}

// observe registers what is looked up when somebody scrapes.
func (s *Service) observe(registerer prometheus.Registerer, log *zap.Logger, maxInFlight int) error {
	return obs.Register(registerer,
		gauge("pocketflow_scheduler_tasks_in_flight", "Tasks that this replica executes.", s.runner.InFlight),
		gauge("pocketflow_scheduler_tasks_in_flight_limit", "Most tasks that this replica executes at once.", func() int { return maxInFlight }),
		gauge("pocketflow_scheduler_workers", "Push workers online, as this replica knows them.", func() int { return s.pool.Load().Workers }),
		gauge("pocketflow_scheduler_executions_waiting", "Executions of this replica that wait for a push worker with a free place.", func() int { return s.pool.Load().Waiting }),
		backlog(s.store, log, storage.Now),
	)
}

func gauge(name, help string, value func() int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
}

// backlog reads what is in the database. All replicas of one database tell the
// same.
func backlog(store storage.Tasks, log *zap.Logger, now func() time.Time) prometheus.Collector {
	tasks := obs.NewGauge("pocketflow_scheduler_tasks", "Unfinished tasks in the database, by status.", "status")
	lag := obs.NewGauge("pocketflow_scheduler_runnable_lag_seconds", "For how long the task that is due longest has waited for a scheduler; 0 when none waits.")
	depth := obs.NewGauge("pocketflow_scheduler_outbox_messages", "Messages to the queue-gateway that it has not taken yet.")
	age := obs.NewGauge("pocketflow_scheduler_outbox_oldest_age_seconds", "Age of the oldest message to the queue-gateway; 0 when there is none.")
	return obs.NewSampled(obs.SampledParams{
		Name: "scheduler", Log: log, Now: now, Gauges: []*obs.Gauge{tasks, lag, depth, age},
		Read: func(ctx context.Context, set obs.SetGauge) error {
			stats, err := store.Stats(ctx)
			if err != nil {
				return err
			}
			for status, count := range stats.Unfinished {
				set(tasks, float64(count), string(status))
			}
			made, _ := ids.Time(ids.Message, stats.OldestOutbox)
			set(lag, secondsSince(stats.NextRunnable, now()))
			set(depth, float64(stats.Outbox))
			set(age, secondsSince(made, now()))
			return nil
		},
	})
}

// secondsSince is 0 for the zero time, and for one that is yet to come.
func secondsSince(at, now time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return max(0, now.Sub(at).Seconds())
}

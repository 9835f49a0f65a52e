package runner

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/obs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Metrics are what a runner counts. Every series is made beforehand: they are
// few, and a rate is right from the first count on.
type Metrics struct {
	created, claimed, leaseLosses, retries prometheus.Counter
	putOff, givenUp                        prometheus.Counter

	outcomes     map[storage.TaskStatus]prometheus.Counter
	taskSeconds  map[storage.TaskStatus]prometheus.Observer
	runsFinished map[storage.RunStatus]prometheus.Counter
	stepSeconds  prometheus.Histogram
	runSeconds   map[flow.ExecType]*endings

	all obs.Collectors
}

// endings are the durations of executions that succeeded and that failed.
type endings struct{ ok, failed prometheus.Observer }

// NewMetrics makes and registers a runner's metrics.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := newMetrics()
	return m, obs.Register(registerer, m.all...)
}

func newMetrics() *Metrics {
	m := &Metrics{
		outcomes:     map[storage.TaskStatus]prometheus.Counter{},
		taskSeconds:  map[storage.TaskStatus]prometheus.Observer{},
		runsFinished: map[storage.RunStatus]prometheus.Counter{},
		runSeconds:   map[flow.ExecType]*endings{},
	}
	m.created = m.all.Counter("pocketflow_scheduler_tasks_created_total", "Tasks created.")
	m.claimed = m.all.Counter("pocketflow_scheduler_tasks_claimed_total", "Tasks that this replica took up after their creation: new ones that found no place, due timers, news, orphans.")
	m.leaseLosses = m.all.Counter("pocketflow_scheduler_lease_losses_total", "Tasks that another replica took while this one executed them.")
	m.retries = m.all.Counter("pocketflow_scheduler_retries_total", "Attempts after a node's first.")
	given := m.all.CounterVec("pocketflow_scheduler_tasks_let_go_total", "Tasks let go without a step, to be tried later: put_off because a peer was away, broken because of a fault that is in the log.", "reason")
	m.putOff, m.givenUp = given.WithLabelValues("put_off"), given.WithLabelValues("broken")

	outcomes := m.all.CounterVec("pocketflow_scheduler_tasks_finished_total", "Tasks that ended, by how.", "outcome")
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pocketflow_scheduler_task_duration_seconds", Buckets: obs.SlowBuckets,
		Help: "Time from a task's creation to its end.",
	}, []string{"outcome"})
	for _, status := range storage.TaskStatuses {
		if status.Terminal() {
			m.outcomes[status] = outcomes.WithLabelValues(string(status))
			m.taskSeconds[status] = seconds.WithLabelValues(string(status))
		}
	}
	runs := m.all.CounterVec("pocketflow_scheduler_runs_finished_total", "Node runs that ended, by how; each attempt is one.", "status")
	for _, status := range storage.RunStatuses {
		if status != storage.RunQueued && status != storage.RunRunning {
			m.runsFinished[status] = runs.WithLabelValues(string(status))
		}
	}
	m.stepSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "pocketflow_scheduler_step_duration_seconds", Buckets: obs.FastBuckets,
		Help: "Time to compute a step and commit it.",
	})
	attempts := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pocketflow_scheduler_run_duration_seconds", Buckets: obs.SlowBuckets,
		Help: "Time of an execution that the scheduler carries out itself, by exec_type. Those from the queue are in pocketflow_queue_job_duration_seconds.",
	}, []string{"exec_type", "result"})
	for _, exec := range []flow.ExecType{flow.ExecHTTP, flow.ExecLocalFunc, flow.ExecLocalScript} {
		m.runSeconds[exec] = &endings{
			ok: attempts.WithLabelValues(string(exec), "ok"), failed: attempts.WithLabelValues(string(exec), "error"),
		}
	}
	m.all = append(m.all, seconds, m.stepSeconds, attempts)
	return m
}

// committed counts what a durable step tells.
func (m *Metrics) committed(record *storage.TaskStep, created time.Time) {
	for i := range record.Started {
		if record.Started[i].Attempt > 1 {
			m.retries.Inc()
		}
	}
	for i := range record.Finished {
		if c := m.runsFinished[record.Finished[i].Status]; c != nil {
			c.Inc()
		}
	}
	if outcome := m.outcomes[record.Status]; outcome != nil {
		outcome.Inc()
		m.taskSeconds[record.Status].Observe(record.At.Sub(created).Seconds())
	}
}

// executed counts an execution that came to its end here.
func (m *Metrics) executed(x engine.Execution, result engine.RunResult, took time.Duration) {
	of := m.runSeconds[x.Exec.Type]
	switch {
	case of == nil:
	case result.Error != nil:
		of.failed.Observe(took.Seconds())
	default:
		of.ok.Observe(took.Seconds())
	}
}

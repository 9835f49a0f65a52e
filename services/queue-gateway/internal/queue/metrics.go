package queue

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pocketflowgo/pocketflow/shared/obs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Metrics are what a queue counts.
type Metrics struct {
	waiting                   prometheus.Gauge
	answered                  map[pollResult]pollSeries
	deliveries                prometheus.Counter
	jobWait                   prometheus.Histogram
	jobOK, jobFailed          prometheus.Observer
	expiredReady, expiredDead prometheus.Counter
	delivered, failures       prometheus.Counter

	all obs.Collectors
}

// pollResult is how a poll ended.
type pollResult string

const (
	pollJobs  pollResult = "jobs"
	pollEmpty pollResult = "empty" // none came, or the caller has gone
	pollError pollResult = "error"
)

var pollResults = []pollResult{pollJobs, pollEmpty, pollError}

type pollSeries struct {
	count prometheus.Counter
	wait  prometheus.Observer
}

// pollBuckets go up to the longest wait that a poll may ask for.
var pollBuckets = []float64{.001, .005, .025, .1, .5, 1, 5, 20, 60}

// NewMetrics makes and registers a queue's metrics.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := newMetrics()
	return m, obs.Register(registerer, m.all...)
}

func newMetrics() *Metrics {
	m := &Metrics{answered: map[pollResult]pollSeries{}}
	m.waiting = prometheus.NewGauge(prometheus.GaugeOpts{Name: "pocketflow_queue_polls_waiting", Help: "Polls that are under way."})
	polls := m.all.CounterVec("pocketflow_queue_polls_total", "Polls answered, by what with.", "result")
	waits := m.histograms("pocketflow_queue_poll_wait_seconds", "Time from a poll to its answer.", "result", pollBuckets)
	for _, result := range pollResults {
		m.answered[result] = pollSeries{polls.WithLabelValues(string(result)), waits.WithLabelValues(string(result))}
	}
	m.deliveries = m.all.Counter("pocketflow_queue_deliveries_total", "Jobs handed to workers, each time anew.")
	m.jobWait = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "pocketflow_queue_job_wait_seconds", Buckets: obs.SlowBuckets,
		Help: "Time from when a job is ready to its first delivery.",
	})
	durations := m.histograms("pocketflow_queue_job_duration_seconds", "Time from a job's latest delivery to its answer.", "result", obs.SlowBuckets)
	m.jobOK, m.jobFailed = durations.WithLabelValues("ok"), durations.WithLabelValues("error")
	expired := m.all.CounterVec("pocketflow_queue_claims_expired_total", "Claims that timed out, by what became of the job.", "outcome")
	m.expiredReady, m.expiredDead = expired.WithLabelValues("ready"), expired.WithLabelValues("dead")
	m.delivered = m.all.Counter("pocketflow_queue_outbox_delivered_total", "Results that the scheduler has taken.")
	m.failures = m.all.Counter("pocketflow_queue_outbox_delivery_failures_total", "Calls with results that failed, and are tried again.")
	m.all = append(m.all, m.waiting, m.jobWait)
	return m
}

func (m *Metrics) histograms(name, help, label string, buckets []float64) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{label})
	m.all = append(m.all, h)
	return h
}

// polled counts a poll that has been answered.
func (m *Metrics) polled(ctx context.Context, began time.Time, jobs []storage.Job, err error) {
	m.waiting.Dec()
	result := pollEmpty
	switch {
	case len(jobs) > 0:
		result = pollJobs
	case err != nil && ctx.Err() == nil:
		result = pollError
	}
	series := m.answered[result]
	series.count.Inc()
	series.wait.Observe(time.Since(began).Seconds())
	m.deliveries.Add(float64(len(jobs)))
	now := storage.Now()
	for i := range jobs {
		if jobs[i].Deliveries == 1 {
			m.jobWait.Observe(max(0, now.Sub(jobs[i].AvailableAt).Seconds()))
		}
	}
}

// completed counts an answer that was accepted.
func (m *Metrics) completed(job storage.Job, a Answer, now time.Time) {
	if job.StartedAt.IsZero() {
		return
	}
	took := max(0, now.Sub(job.StartedAt).Seconds())
	if a.Error != "" {
		m.jobFailed.Observe(took)
	} else {
		m.jobOK.Observe(took)
	}
}

// expired counts claims that have timed out.
func (m *Metrics) expired(job storage.Job) {
	if job.Status == storage.JobDead {
		m.expiredDead.Inc()
	} else {
		m.expiredReady.Inc()
	}
}

// handed counts a call with results.
func (m *Metrics) handed(ctx context.Context, results int, err error) {
	switch {
	case err == nil:
		m.delivered.Add(float64(results))
	case ctx.Err() == nil:
		m.failures.Inc()
	}
}

// shownServices bounds the series of each metric by service: the names are those
// of flows and workers, and nobody keeps these from making some up. What is
// beyond the busiest is summed.
const (
	shownServices = 100
	otherServices = "_other"
)

// Observe registers what is read from the database when somebody scrapes. All
// replicas of one database tell the same.
func (q *Queue) Observe(registerer prometheus.Registerer) error {
	jobs := obs.NewGauge("pocketflow_queue_jobs", "Jobs in the database, by service of the workers and status.", "worker_service", "status")
	oldest := obs.NewGauge("pocketflow_queue_oldest_ready_age_seconds", "For how long the job that is ready longest has waited for a worker; 0 when none waits.", "worker_service")
	depth := obs.NewGauge("pocketflow_queue_outbox_messages", "Results that the scheduler has not taken yet.")
	age := obs.NewGauge("pocketflow_queue_outbox_oldest_age_seconds", "Age of the oldest result that the scheduler has not taken; 0 when there is none.")
	return obs.Register(registerer, obs.NewSampled(obs.SampledParams{
		Name: "queue", Log: q.log, Now: storage.Now, Gauges: []*obs.Gauge{jobs, oldest, depth, age},
		Read: func(ctx context.Context, set obs.SetGauge) error {
			now := storage.Now()
			services, err := q.store.Stats(ctx, now)
			if err != nil {
				return err
			}
			for _, s := range busiest(services) {
				set(jobs, float64(s.Ready), s.Service, "ready")
				set(jobs, float64(s.Delayed), s.Service, "delayed")
				set(jobs, float64(s.Claimed), s.Service, "claimed")
				set(jobs, float64(s.Dead), s.Service, "dead")
				set(oldest, ageOf(s.OldestReadyAt, now), s.Service)
			}
			results, err := q.store.Undelivered(ctx)
			if err != nil {
				return err
			}
			set(depth, float64(results.Count))
			set(age, ageOf(results.Oldest, now))
			return nil
		},
	}))
}

// ageOf is 0 for the zero time, and for one that is yet to come.
func ageOf(at, now time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return max(0, now.Sub(at).Seconds())
}

// busiest are the services with the most jobs, and all others as one.
func busiest(services []storage.ServiceStats) []storage.ServiceStats {
	total := func(s storage.ServiceStats) int { return s.Ready + s.Delayed + s.Claimed + s.Dead }
	services = slices.Clone(services)
	slices.SortStableFunc(services, func(a, b storage.ServiceStats) int { return cmp.Compare(total(b), total(a)) })
	others := storage.ServiceStats{Service: otherServices}
	var kept []storage.ServiceStats
	for _, s := range services {
		// A worker may call its service so; two series of one name would be none.
		if len(kept) < shownServices-1 && s.Service != otherServices {
			kept = append(kept, s)
			continue
		}
		others.Ready += s.Ready
		others.Delayed += s.Delayed
		others.Claimed += s.Claimed
		others.Dead += s.Dead
		if others.OldestReadyAt.IsZero() || !s.OldestReadyAt.IsZero() && s.OldestReadyAt.Before(others.OldestReadyAt) {
			others.OldestReadyAt = s.OldestReadyAt
		}
	}
	if total(others) > 0 {
		kept = append(kept, others)
	}
	return kept
}

package execute

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/obs"
)

// The results of worker calls that are no failure's code.
const (
	callOK       = "ok"
	callCanceled = "canceled" // the task wants no answer any more
)

// Metrics count the calls of push workers.
type Metrics struct {
	calls    map[string]prometheus.Counter // by result
	inFlight prometheus.Gauge

	all []prometheus.Collector
}

// NewMetrics makes and registers the metrics of an executor.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := newMetrics()
	return m, obs.Register(registerer, m.all...)
}

func newMetrics() *Metrics {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pocketflow_scheduler_worker_calls_total",
		Help: "Calls of push workers by result: ok, canceled, no_worker (nobody to call), or the code of the failure.",
	}, []string{"result"})
	m := &Metrics{
		calls: map[string]prometheus.Counter{},
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pocketflow_scheduler_worker_calls_in_flight",
			Help: "Calls of push workers that wait for their answer.",
		}),
	}
	for _, result := range []string{
		callOK, callCanceled, CodeNoWorker, CodeUnreachable, CodeLost, CodeStatus, CodeBadAnswer, CodeTooLarge, CodeWorkerError, engine.CodeTimeout,
	} {
		m.calls[result] = calls.WithLabelValues(result)
	}
	m.all = []prometheus.Collector{calls, m.inFlight}
	return m
}

// called counts a call that has ended.
func (m *Metrics) called(result string) {
	if c := m.calls[result]; c != nil {
		c.Inc()
	}
}

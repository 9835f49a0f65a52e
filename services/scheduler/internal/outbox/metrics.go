package outbox

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pocketflowgo/pocketflow/shared/obs"
)

// Metrics count deliveries.
type Metrics struct {
	delivered, refused, failures prometheus.Counter

	all obs.Collectors
}

// NewMetrics makes and registers the metrics of a deliverer.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := newMetrics()
	return m, obs.Register(registerer, m.all...)
}

func newMetrics() *Metrics {
	m := &Metrics{}
	m.delivered = m.all.Counter("pocketflow_scheduler_outbox_delivered_total", "Messages that the queue-gateway has taken: jobs and withdrawals.")
	m.refused = m.all.Counter("pocketflow_scheduler_outbox_refused_total", "Jobs that the queue-gateway did not take for what they were; their runs have failed.")
	m.failures = m.all.Counter("pocketflow_scheduler_outbox_delivery_failures_total", "Deliveries that failed as a whole, and are tried again.")
	return m
}

package connect

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pocketflowgo/pocketflow/shared/obs"
)

// commits counts the commits of one database. It implements sqlstore.Commits.
type commits struct {
	writes    prometheus.Histogram
	seconds   prometheus.Histogram
	rollbacks prometheus.Counter
}

// writeBuckets are powers of four up to what drivers let share a commit.
var writeBuckets = []float64{1, 2, 4, 16, 64, 256}

func newCommits(metrics prometheus.Registerer, service string) (*commits, error) {
	of := prometheus.Labels{"database": service}
	c := &commits{
		writes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pocketflow_storage_commit_writes", ConstLabels: of,
			Help: "Writes that shared one commit.", Buckets: writeBuckets,
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pocketflow_storage_commit_duration_seconds", ConstLabels: of,
			Help: "Time from the begin of a transaction to its commit.", Buckets: obs.FastBuckets,
		}),
		rollbacks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pocketflow_storage_rollbacks_total", ConstLabels: of,
			Help: "Transactions that did not commit; those that lost against another are tried again.",
		}),
	}
	return c, obs.Register(metrics, c.writes, c.seconds, c.rollbacks)
}

// Committed implements sqlstore.Commits.
func (c *commits) Committed(writes int, took time.Duration) {
	c.writes.Observe(float64(writes))
	c.seconds.Observe(took.Seconds())
}

// RolledBack implements sqlstore.Commits.
func (c *commits) RolledBack() { c.rollbacks.Inc() }

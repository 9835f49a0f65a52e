package roster

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pocketflowgo/pocketflow/shared/obs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var workersDesc = prometheus.NewDesc("pocketflow_registry_workers",
	"Workers by type and by whether they are heard of; all replicas of one database tell nearly the same.",
	[]string{"type", "status"}, nil)

// Observe registers what the roster is seen by.
func (r *Roster) Observe(registerer prometheus.Registerer) error {
	return obs.Register(registerer, census{r})
}

// census counts the workers when somebody scrapes.
type census struct{ roster *Roster }

// Describe implements prometheus.Collector.
func (c census) Describe(out chan<- *prometheus.Desc) { out <- workersDesc }

// Collect implements prometheus.Collector.
func (c census) Collect(out chan<- prometheus.Metric) {
	counts := map[storage.WorkerType]map[Status]int{}
	for _, kind := range storage.WorkerTypes {
		counts[kind] = map[Status]int{}
	}
	now := storage.Now()
	c.roster.mu.Lock()
	for _, w := range c.roster.workers {
		if of := counts[w.Type]; of != nil { // another version's type is none of ours
			status := Offline
			if c.roster.online(w, now) {
				status = Online
			}
			of[status]++
		}
	}
	c.roster.mu.Unlock()
	for kind, of := range counts {
		for _, status := range Statuses {
			out <- prometheus.MustNewConstMetric(workersDesc, prometheus.GaugeValue, float64(of[status]), string(kind), string(status))
		}
	}
}

package obs

import "github.com/prometheus/client_golang/prometheus"

// Collectors are the metrics of one part of a service, gathered as they are made,
// for Register. The zero value is ready.
type Collectors []prometheus.Collector

// Counter makes a counter.
func (all *Collectors) Counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	*all = append(*all, c)
	return c
}

// CounterVec makes counters, one for each value of the label.
func (all *Collectors) CounterVec(name, help, label string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	*all = append(*all, c)
	return c
}

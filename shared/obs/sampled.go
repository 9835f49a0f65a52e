package obs

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Sampled are gauges that have to be asked for, of a database say. They are
// read when somebody scrapes, and not again for a while, however many scrape.
//
// When the reading fails, its gauges are left out until it works again: an old
// value would look like a true one.
type Sampled struct {
	SampledParams
	describe []*prometheus.Desc
	failures prometheus.Counter

	mu   sync.Mutex
	at   time.Time // of the last reading, failed ones too
	last []prometheus.Metric
}

// SampledParams are how gauges are read.
type SampledParams struct {
	// Name tells readings apart in the log and in the counter of failures.
	Name string
	// Read hands each value to set, in the units of the gauge.
	Read   func(ctx context.Context, set SetGauge) error
	Gauges []*Gauge
	Log    *zap.Logger
	Now    func() time.Time
}

// SetGauge gives a gauge a value; labels are in the gauge's order.
type SetGauge func(gauge *Gauge, value float64, labels ...string)

// Gauge is a gauge of a Sampled.
type Gauge struct{ desc *prometheus.Desc }

// NewGauge names a gauge. Labels must have few values.
func NewGauge(name, help string, labels ...string) *Gauge {
	return &Gauge{prometheus.NewDesc(name, help, labels, nil)}
}

const (
	// sampleEvery is how old a value may be: less than the usual interval of
	// scrapes, so that one scraper sees new ones each time.
	sampleEvery = 5 * time.Second
	// sampleTimeout bounds a reading, within what scrapers wait.
	sampleTimeout = 2 * time.Second
)

// NewSampled makes the collector. It reads nothing until it is scraped.
func NewSampled(p SampledParams) *Sampled {
	s := &Sampled{SampledParams: p, failures: prometheus.NewCounter(prometheus.CounterOpts{
		Name:        "pocketflow_sampling_failures_total",
		Help:        "Readings of gauges from a database that failed; the gauges are then left out.",
		ConstLabels: prometheus.Labels{"source": p.Name},
	})}
	for _, g := range p.Gauges {
		s.describe = append(s.describe, g.desc)
	}
	return s
}

// Describe implements prometheus.Collector.
func (s *Sampled) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range s.describe {
		out <- desc
	}
	s.failures.Describe(out)
}

// Collect implements prometheus.Collector. Those who come while somebody reads
// wait, and get the same.
func (s *Sampled) Collect(out chan<- prometheus.Metric) {
	for _, m := range s.sample() {
		out <- m
	}
	s.failures.Collect(out)
}

func (s *Sampled) sample() []prometheus.Metric {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.Now(); s.at.IsZero() || now.Sub(s.at) >= sampleEvery {
		s.last = s.read()
		s.at = s.Now() // of the end: a slow database is left alone as long as a fast one
	}
	return s.last
}

func (s *Sampled) read() []prometheus.Metric {
	ctx, cancel := context.WithTimeout(context.Background(), sampleTimeout)
	defer cancel()
	var all []prometheus.Metric
	err := s.Read(ctx, func(gauge *Gauge, value float64, labels ...string) {
		m, err := prometheus.NewConstMetric(gauge.desc, prometheus.GaugeValue, value, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(gauge.desc, err)
		}
		all = append(all, m)
	})
	if err != nil {
		s.failures.Inc()
		s.Log.Warn("metrics_not_read", zap.String("source", s.Name), zap.Error(err))
		return nil
	}
	return all
}

package obs

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// Config is what a process decides about how it is seen.
type Config struct {
	LogLevel  string // one of zap's level names
	LogFormat LogFormat
	// Name is the process's among others: its spans' service.name.
	Name string
	// TraceEndpoint is where spans go, the base URL of an OTLP collector; "" for
	// nowhere. Of the traces that begin here the part TraceRatio is recorded.
	TraceEndpoint string
	TraceRatio    float64
	// Version and Commit are those of the binary; they become the labels of
	// pocketflow_build_info.
	Version, Commit string
}

// Telemetry is what a process is seen by. It is made once, before the services
// of the process.
type Telemetry struct {
	Log     *zap.Logger
	Level   zap.AtomicLevel // of Log; it may be changed while the process runs
	Metrics *prometheus.Registry
	Traces  trace.TracerProvider // nil: nobody records any

	shutdown func(context.Context) error // of Traces
}

// New makes a process's telemetry; Close it at the end. The registry holds what
// is true of every Go process; the services add theirs.
func New(cfg Config) (*Telemetry, error) {
	level, err := zap.ParseAtomicLevel(cfg.LogLevel)
	if err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	log, err := newLogger(level, cfg.LogFormat)
	if err != nil {
		return nil, err
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "pocketflow_build_info",
		Help:        "Always 1; the labels tell the version and the commit of the binary.",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "commit": cfg.Commit},
	})
	build.Set(1)
	metrics := prometheus.NewRegistry()
	err = Register(metrics, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err != nil {
		return nil, err
	}
	spans, err := newTraces(cfg, log)
	if err != nil {
		return nil, err
	}
	return &Telemetry{Log: log, Level: level, Metrics: metrics, Traces: spans.provider, shutdown: spans.shutdown}, nil
}

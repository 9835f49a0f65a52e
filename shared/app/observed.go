package app

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/obs"
)

// MetricsPlace is where a process serves its metrics.
type MetricsPlace string

const (
	MetricsAtListener MetricsPlace = "listener"
	// MetricsAtAdmin is for a listener that strangers reach: metrics name the
	// services of workers and tell how much there is to do.
	MetricsAtAdmin MetricsPlace = "admin"
)

// Deps are what a process hands to its service.
type Deps struct {
	Log     *zap.Logger
	Metrics prometheus.Registerer
	Traces  trace.TracerProvider // nil: nobody traces
}

// Check names every setting that would not do, for a process that listens at
// addr.
func (p Process) Check(addr string) error {
	faults := []error{p.CheckAddr(addr)}
	if p.AdminAddr != "" {
		if err := p.CheckAddr(p.AdminAddr); err != nil {
			faults = append(faults, fmt.Errorf("admin address: %w", err))
		}
	} else if p.MetricsAt == MetricsAtAdmin {
		faults = append(faults, errors.New("metrics at admin: there is no admin address"))
	}
	if p.Drain < 0 {
		faults = append(faults, fmt.Errorf("drain: %v is negative", p.Drain))
	}
	if !(p.TraceRatio >= 0 && p.TraceRatio <= 1) { // nor is NaN
		faults = append(faults, fmt.Errorf("trace ratio: %v is not from 0 to 1", p.TraceRatio))
	}
	return errors.Join(faults...)
}

// Telemetry are the settings of what a process is seen by.
type Telemetry struct {
	LogLevel      string        `help:"Least level that is logged." default:"info" enum:"debug,info,warn,error" env:"LOG_LEVEL"`
	LogFormat     obs.LogFormat `help:"Form of the log: json or console." default:"json" enum:"json,console" env:"LOG_FORMAT"`
	TraceEndpoint string        `help:"Where traces go: the base URL of an OpenTelemetry collector (OTLP over HTTP). Nowhere by default." env:"OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"http://HOST:4318"`
	TraceRatio    float64       `help:"Part of the traces that begin here which is recorded, 0 to 1. One that begins elsewhere is recorded if it is there." default:"1" env:"OTEL_TRACES_SAMPLER_ARG"`
}

// Open makes what the process of that name is seen by.
func (t Telemetry) Open(name string) (*obs.Telemetry, error) {
	return obs.New(obs.Config{
		Name: name, LogLevel: t.LogLevel, LogFormat: t.LogFormat, Version: Version, Commit: Commit,
		TraceEndpoint: t.TraceEndpoint, TraceRatio: t.TraceRatio,
	})
}

// Endpoints are the handlers that Serve adds to a service's own.
func (p Process) Endpoints(t *obs.Telemetry) Endpoints {
	e := Endpoints{AdminAddr: p.AdminAddr, Admin: obs.AdminHandler(t)}
	if p.MetricsAt == MetricsAtListener {
		e.Metrics = obs.MetricsHandler(t.Metrics, t.Log)
	}
	return e
}

package app

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
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
}

// Check refuses settings that would not do, for a process that listens at addr.
func (p Process) Check(addr string) error {
	if err := p.CheckAddr(addr); err != nil {
		return err
	}
	if p.AdminAddr == "" {
		return nil
	}
	if err := p.CheckAddr(p.AdminAddr); err != nil {
		return fmt.Errorf("admin address: %w", err)
	}
	return nil
}

// Telemetry makes what the process is seen by.
func (p Process) Telemetry() (*obs.Telemetry, error) {
	return obs.New(obs.Config{LogLevel: p.LogLevel, LogFormat: p.LogFormat, Version: Version, Commit: Commit})
}

// Endpoints are the handlers that Serve adds to a service's own.
func (p Process) Endpoints(t *obs.Telemetry) Endpoints {
	e := Endpoints{AdminAddr: p.AdminAddr, Admin: obs.AdminHandler(t)}
	if p.MetricsAt == MetricsAtListener {
		e.Metrics = obs.MetricsHandler(t.Metrics, t.Log)
	}
	return e
}

package app_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/obs"
)

// still is a service that does nothing until it is told to stop.
type still struct{ ready error }

func (still) Handler() http.Handler             { return http.NotFoundHandler() }
func (still) Run(ctx context.Context) error     { <-ctx.Done(); return nil }
func (s still) Ready(ctx context.Context) error { return s.ready }
func (still) Close() error                      { return nil }

// run serves until the test ends and returns the service's and the admin
// address, "" for none.
func run(t *testing.T, process app.Process, service app.Service, log *zap.Logger) (addr, admin string) {
	t.Helper()
	telemetry, err := obs.New(obs.Config{LogLevel: "error", LogFormat: obs.LogJSON})
	require.NoError(t, err)
	bound, adminBound := make(chan net.Addr, 1), make(chan net.Addr, 1)
	params := app.ServeParams{
		Addr: "127.0.0.1:0", Service: service, Log: log, Drain: time.Second,
		Started: func(a net.Addr) { bound <- a }, Endpoints: process.Endpoints(telemetry),
	}
	params.AdminStarted = func(a net.Addr) { adminBound <- a }
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- app.Serve(ctx, params) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		if admin != "" {
			_, err := http.Get("http://" + admin + "/metrics") //nolint:bodyclose,noctx // there is none
			require.Error(t, err, "the admin listener ends with the process")
		}
	})
	addr = (<-bound).String()
	if process.AdminAddr != "" {
		admin = (<-adminBound).String()
	}
	return addr, admin
}

func status(t *testing.T, addr, path string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestServe_HasProfilesAndTheLogLevelAtTheAdminAddressAlone(t *testing.T) {
	t.Parallel()
	for _, place := range []app.MetricsPlace{app.MetricsAtListener, app.MetricsAtAdmin} {
		addr, admin := run(t, app.Process{AdminAddr: "127.0.0.1:0", MetricsAt: place}, still{}, zap.NewNop())
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/log/level"} {
			require.Equal(t, http.StatusNotFound, status(t, addr, path), path)
			require.Equal(t, http.StatusOK, status(t, admin, path), path)
		}
		require.Equal(t, http.StatusOK, status(t, admin, "/metrics"))
		want := map[app.MetricsPlace]int{app.MetricsAtListener: http.StatusOK, app.MetricsAtAdmin: http.StatusNotFound}[place]
		require.Equal(t, want, status(t, addr, "/metrics"), place)
	}
}

func TestServe_HasNoAdminAddressUnlessToldOne(t *testing.T) {
	t.Parallel()
	addr, admin := run(t, app.Process{MetricsAt: app.MetricsAtListener}, still{}, zap.NewNop())
	require.Empty(t, admin)
	require.Equal(t, http.StatusOK, status(t, addr, "/metrics"))
}

func TestServe_FailsWhenTheAdminAddressIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // the listener is the point
	require.NoError(t, err)
	defer taken.Close()
	err = app.Serve(t.Context(), app.ServeParams{
		Addr: "127.0.0.1:0", Service: still{}, Log: zap.NewNop(), Endpoints: app.Endpoints{AdminAddr: taken.Addr().String()},
	})
	require.ErrorContains(t, err, "admin address")
}

func TestServe_LogsProbesForThoseWhoDebugAlone(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	addr, _ := run(t, app.Process{MetricsAt: app.MetricsAtListener}, still{ready: errors.New("no database")}, zap.New(core))
	require.Equal(t, http.StatusOK, status(t, addr, "/healthz"))
	require.Equal(t, http.StatusServiceUnavailable, status(t, addr, "/readyz"))
	require.Equal(t, http.StatusOK, status(t, addr, "/metrics"))
	requests := func() *observer.ObservedLogs { return logs.FilterMessage("request") }
	require.Eventually(t, func() bool { return requests().Len() == 3 }, 10*time.Second, time.Millisecond)
	for _, line := range requests().All() {
		require.Equal(t, zap.DebugLevel, line.Level, line.ContextMap())
	}
	require.Zero(t, logs.FilterMessage("request_failed").Len())
}

func TestProcess_NamesEverySettingThatWouldNotDo(t *testing.T) {
	t.Parallel()
	err := app.Process{
		Drain: -1, MetricsAt: app.MetricsAtAdmin, Telemetry: app.Telemetry{TraceRatio: math.NaN()},
	}.Check("0.0.0.0:8070")
	for _, fault := range []string{"--insecure", "admin address", "drain", "trace ratio"} {
		require.ErrorContains(t, err, fault)
	}
	require.Error(t, app.Process{Telemetry: app.Telemetry{TraceRatio: 1.5}}.Check("127.0.0.1:8070"))
	require.NoError(t, app.Process{MetricsAt: app.MetricsAtAdmin, AdminAddr: "127.0.0.1:8079"}.Check("127.0.0.1:8070"))
}

func TestProcess_AdminAddressIsLoopbackUnlessTold(t *testing.T) {
	t.Parallel()
	require.NoError(t, app.Process{AdminAddr: "127.0.0.1:8079"}.Check("127.0.0.1:8070"))
	require.ErrorContains(t, app.Process{AdminAddr: "0.0.0.0:8079"}.Check("127.0.0.1:8070"), "admin address")
	require.ErrorContains(t, app.Process{}.Check("0.0.0.0:8070"), "--insecure")
	require.NoError(t, app.Process{Insecure: true, AdminAddr: "0.0.0.0:8079"}.Check("0.0.0.0:8070"))
}

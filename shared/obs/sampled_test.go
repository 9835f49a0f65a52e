package obs_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/obs"
)

// source is what a Sampled reads in these tests.
type source struct {
	reads int
	err   error
	now   time.Time
	gauge *obs.Gauge
}

func (s *source) read(_ context.Context, set obs.SetGauge) error {
	s.reads++
	set(s.gauge, float64(s.reads), "a")
	return s.err
}

func sample(t *testing.T, s *source) *prometheus.Registry {
	t.Helper()
	s.now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	s.gauge = obs.NewGauge("pocketflow_test_things", "Things.", "kind")
	registry := prometheus.NewRegistry()
	require.NoError(t, obs.Register(registry, obs.NewSampled(obs.SampledParams{
		Name: "test", Read: s.read, Gauges: []*obs.Gauge{s.gauge}, Log: zap.NewNop(), Now: func() time.Time { return s.now },
	}), prometheus.NewGauge(prometheus.GaugeOpts{Name: "pocketflow_test_other", Help: "Other."})))
	return registry
}

// values are the gathered series by name; those that are not there are absent.
func values(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, family := range families {
		m := family.GetMetric()[0]
		all[family.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return all
}

func TestSampled_ReadsOnceForManyScrapes(t *testing.T) {
	t.Parallel()
	s := &source{}
	registry := sample(t, s)
	for range 3 {
		require.InDelta(t, 1, values(t, registry)["pocketflow_test_things"], 0)
	}
	s.now = s.now.Add(5 * time.Second)
	require.InDelta(t, 2, values(t, registry)["pocketflow_test_things"], 0)
}

func TestSampled_LeavesOutWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := &source{err: errors.New("away")}
	registry := sample(t, s)
	for range 2 { // a database that is away is not asked for each scrape
		require.Equal(t, map[string]float64{"pocketflow_sampling_failures_total": 1, "pocketflow_test_other": 0}, values(t, registry))
	}
	s.err = nil
	s.now = s.now.Add(5 * time.Second)
	require.InDelta(t, 2, values(t, registry)["pocketflow_test_things"], 0)
}

func TestSampled_WaitsForADatabaseNoLongerThanAScraperWould(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		require.NoError(t, obs.Register(registry, obs.NewSampled(obs.SampledParams{
			Name: "test", Log: zap.NewNop(), Now: time.Now,
			Read: func(ctx context.Context, _ obs.SetGauge) error {
				<-ctx.Done()
				return ctx.Err()
			},
		})))
		began := time.Now()
		require.InDelta(t, 1, values(t, registry)["pocketflow_sampling_failures_total"], 0)
		require.Equal(t, 2*time.Second, time.Since(began))
	})
}

func TestRegister_RefusesANameTwice(t *testing.T) {
	t.Parallel()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "pocketflow_test_total", Help: "Test."})
	registry := prometheus.NewRegistry()
	require.NoError(t, obs.Register(registry, c))
	require.ErrorContains(t, obs.Register(registry, c), "register metrics")
	require.NoError(t, obs.Register(nil, c, c), "without a registry nobody minds")
}

func TestNew_TellsTheBuild(t *testing.T) {
	t.Parallel()
	telemetry, err := obs.New(obs.Config{LogLevel: "info", LogFormat: obs.LogJSON, Version: "v1.2.3", Commit: "abc"})
	require.NoError(t, err)
	problems, err := testutil.GatherAndLint(telemetry.Metrics)
	require.NoError(t, err)
	require.Empty(t, problems)
	w := httptest.NewRecorder()
	obs.MetricsHandler(telemetry.Metrics, zap.NewNop()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), `pocketflow_build_info{commit="abc",version="v1.2.3"} 1`)
	require.Contains(t, w.Body.String(), "go_goroutines")

	_, err = obs.New(obs.Config{LogLevel: "loud"})
	require.ErrorContains(t, err, "log level")
}

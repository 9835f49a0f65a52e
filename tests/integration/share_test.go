//go:build unix

package integration

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	sharedSize = 600
	// rounds is how often a time is taken; the shortest counts, since other work
	// on the machine only ever adds.
	rounds     = 3
	schedulers = 3
	// stepsMetric counts the steps that a scheduler has committed.
	stepsMetric = "pocketflow_scheduler_step_duration_seconds_count"
)

// Schedulers that are added to one that runs get their share of the work. How
// long it takes is told and not judged: of a load that leaves processors free,
// and of one that takes all there are, which more processes then share.
func TestContainers_SchedulersThatAreAddedShareTheWork(t *testing.T) { //nolint:paralleltest // it tells times
	s := startStack(t, counts{queuePart: 2})
	aloneSteady, aloneFull := s.measure(t, "alone")
	for range schedulers - 1 {
		s.add(t, schedulerPart)
	}
	for _, r := range s.replicas[schedulerPart] {
		r.awaitReady(t)
	}
	s.awaitShares(t)

	before := s.steps(t)
	steady, full := s.measure(t, "together")
	total, shares := 0.0, make([]float64, schedulers)
	for i, n := range s.steps(t) {
		shares[i] = n - before[i]
		total += shares[i]
	}
	for i, r := range s.replicas[schedulerPart] {
		t.Logf("%s: %.0f of %.0f steps, %.0f%%", r.name, shares[i], total, 100*shares[i]/total)
		require.Greater(t, shares[i], total/schedulers/2, "less than half of a fair share for %s", r.name)
	}
	t.Logf("%d tasks, one every %v, took %v with one scheduler, %v with %d", loadSize, loadPace, aloneSteady, steady, schedulers)
	t.Logf("%d tasks at once took %v with one scheduler, %v with %d", sharedSize, aloneFull, full, schedulers)
}

// measure is how long a load takes that is created at the pace, and one that is
// created as fast as it can be.
func (s *stack) measure(t *testing.T, name string) (steady, full time.Duration) {
	t.Helper()
	var steadies, fulls []time.Duration
	for i := range rounds {
		steadies = append(steadies, s.takes(t, fmt.Sprintf("%s-steady-%d", name, i), loadSize, loadPace))
		fulls = append(fulls, s.takes(t, fmt.Sprintf("%s-full-%d", name, i), sharedSize, time.Microsecond))
	}
	t.Logf("%s: %v, %v", name, steadies, fulls)
	return slices.Min(steadies), slices.Min(fulls)
}

// takes is how long so many tasks take, from the first's creation to the last's
// end.
func (s *stack) takes(t *testing.T, name string, size int, pace time.Duration) time.Duration {
	t.Helper()
	l, begin := newLoad(t, s, name, size), time.Now()
	require.NoError(t, l.create(t.Context(), pace))
	l.awaitEnd(t)
	return time.Since(begin).Round(time.Millisecond)
}

// awaitShares creates tasks until each scheduler has had one: those who call
// them look for new replicas now and then.
func (s *stack) awaitShares(t *testing.T) {
	t.Helper()
	version := s.client.Publish(t, "knock", tripling)
	idle := s.steps(t)
	suitetest.Await(t, startTimeout, func() error {
		if _, err := s.client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{FlowVersionID: version, Params: []byte(`{"n": 1}`)}); err != nil {
			return err
		}
		for i, n := range s.steps(t) {
			if n == idle[i] {
				return fmt.Errorf("%s has nothing to do", s.replicas[schedulerPart][i].name)
			}
		}
		return nil
	})
}

// steps is how many steps each scheduler has made, by its own metrics.
func (s *stack) steps(t *testing.T) []float64 {
	t.Helper()
	var made []float64
	for _, r := range s.replicas[schedulerPart] {
		n, err := metric(t.Context(), r.url, stepsMetric)
		require.NoError(t, err)
		made = append(made, n)
	}
	return made
}

// metric is the value of a metric without labels.
func metric(ctx context.Context, url, name string) (float64, error) {
	status, text, err := get(ctx, url+"/metrics")
	if err != nil || status != http.StatusOK {
		return 0, fmt.Errorf("read the metrics of %s: %d %w", url, status, err)
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", url, name)
}

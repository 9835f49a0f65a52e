//go:build unix

package transfer

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage/transfer"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

// The history that moves: tasks, with so many runs and events each.
const (
	benchTasks  = 10000
	benchRuns   = 4 * benchTasks
	benchEvents = 10 * benchTasks
)

// BenchmarkCopy moves tasks with their history there and back, comparison
// included; copied/s is without it.
func BenchmarkCopy(b *testing.B) {
	dir := suiteOf(b)
	fill(b, dir, plain, benchTasks, "tasks")
	fill(b, dir, plain, benchRuns, "node_runs")
	fill(b, dir, plain, benchEvents, "task_events")
	postgres := pgtest.DSN(b)
	move(b, dir, postgres)
	for _, way := range []struct {
		name, from string
		to         func() string
	}{
		{"SQLiteToPostgres", dir, func() string { return pgtest.DSN(b) }},
		{"PostgresToSQLite", postgres, func() string { return filepath.Join(b.TempDir(), "data") }},
	} {
		b.Run(way.name, func(b *testing.B) {
			rows, seconds := 0.0, 0.0
			for b.Loop() {
				report, err := transfer.Copy(b.Context(), transfer.Params{Pairs: pairsOf(way.from, way.to())})
				require.NoError(b, err)
				rows, seconds = rows+float64(report.Copied), seconds+report.CopySeconds
			}
			b.ReportMetric(rows/seconds, "copied/s")
			b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

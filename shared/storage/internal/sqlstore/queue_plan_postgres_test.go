package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
)

// postgresURL names a server for the tests of this package that need one.
const postgresURL = "POCKETFLOW_TEST_POSTGRES_URL"

// Postgres chooses by what it knows of a table: a queue as it is after a while,
// nearly all of it finished. A statement is planned for its arguments at first
// and, run often, once for all arguments; both plans must read the index of the
// job's status, in its order.
func TestQueuePlansOnPostgres_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	url := os.Getenv(postgresURL)
	if url == "" {
		t.Skip(postgresURL + " is not set")
	}
	ctx := t.Context()
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	config.RuntimeParams["search_path"] = "queue_plans"
	db := stdlib.OpenDB(*config)
	defer func() { require.NoError(t, db.Close()) }()
	_, err = db.ExecContext(ctx, `DROP SCHEMA IF EXISTS queue_plans CASCADE; CREATE SCHEMA queue_plans`)
	require.NoError(t, err)
	files, err := migrations.FS(migrations.Queue, migrations.Postgres)
	require.NoError(t, err)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files)
	require.NoError(t, err)
	_, err = provider.Up(ctx)
	require.NoError(t, err)

	conn, err := pgx.ConnectConfig(ctx, config)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(ctx))) }()
	for _, statement := range []string{`
INSERT INTO jobs (id, task_id, run_id, node_key, path, visit, attempt, service, input, priority, status, deliveries,
    available_at, worker_id, token, timeout_at, created_at, finished_at, result_hash, log_path)
SELECT 'job-' || n, 'task', 'run', '', '', 1, 1, 's' || n % 50, '{}', n % 3, s.status, 1,
    n, '', '', n, n, n, CASE WHEN s.status = 'completed' THEN 'h' ELSE '' END, ''
FROM generate_series(1, 40000) n, LATERAL (SELECT CASE n % 100 WHEN 0 THEN 'pending' WHEN 1 THEN 'claimed' WHEN 2 THEN 'dead' ELSE 'completed' END AS status) s`,
		`INSERT INTO job_results SELECT id, task_id, run_id, '{}', created_at, 0 FROM jobs WHERE created_at % 8 = 0`,
		`INSERT INTO service_limits SELECT 'limited' || n, 1, 0, 0, 0, 0 FROM generate_series(1, 5) n`,
		`ANALYZE jobs, job_results, service_limits`,
	} {
		_, err := conn.Exec(ctx, statement)
		require.NoError(t, err)
	}
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		_, err := conn.Exec(ctx, "SET plan_cache_mode = "+mode)
		require.NoError(t, err)
		for name, test := range queueStatements() {
			t.Run(mode+"/"+name, func(t *testing.T) {
				plan := explainPrepared(t, conn, test.sql, test.args)
				var indexes []string
				plan.each(func(step planStep) {
					if strings.Contains(test.sql, "ORDER BY") {
						require.NotContains(t, step.Type, "Sort", "the index has the order")
					}
					if step.Relation == "service_limits" {
						return // a handful of rows, read as the planner likes
					}
					require.NotEqual(t, "Seq Scan", step.Type)
					if step.Index != "" {
						indexes = append(indexes, step.Index)
					}
				})
				require.Equal(t, test.postgres, indexes)
			})
		}
	}
}

// planStep is a node of a plan.
type planStep struct {
	Type     string     `json:"Node Type"`
	Relation string     `json:"Relation Name"`
	Index    string     `json:"Index Name"`
	Steps    []planStep `json:"Plans"`
}

func (s planStep) each(look func(planStep)) {
	look(s)
	for _, step := range s.Steps {
		step.each(look)
	}
}

func explainPrepared(t *testing.T, conn *pgx.Conn, sql string, args []any) planStep {
	t.Helper()
	ctx := t.Context()
	_, err := conn.Exec(ctx, "PREPARE explained AS "+sql)
	require.NoError(t, err)
	defer func() {
		_, err := conn.Exec(ctx, "DEALLOCATE explained")
		require.NoError(t, err)
	}()
	values := make([]string, len(args))
	for i, arg := range args {
		values[i] = fmt.Sprintf("'%v'", arg)
	}
	execute := "EXPLAIN (FORMAT JSON) EXECUTE explained"
	if len(values) > 0 {
		execute += "(" + strings.Join(values, ", ") + ")"
	}
	var text string
	require.NoError(t, conn.QueryRow(ctx, execute, pgx.QueryExecModeSimpleProtocol).Scan(&text))
	var plans []struct{ Plan planStep }
	require.NoError(t, json.Unmarshal([]byte(text), &plans))
	require.Len(t, plans, 1)
	return plans[0].Plan
}

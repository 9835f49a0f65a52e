package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
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

// filledOnPostgres is a session on a service's schema, migrated and filled by
// the statements.
func filledOnPostgres(t *testing.T, service string, fill ...string) *pgx.Conn {
	t.Helper()
	url := os.Getenv(postgresURL)
	if url == "" {
		t.Skip(postgresURL + " is not set")
	}
	ctx := t.Context()
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	schema := service + "_plans"
	maps.Copy(config.RuntimeParams, PostgresSettings())
	config.RuntimeParams["search_path"] = schema
	db := stdlib.OpenDB(*config)
	defer func() { require.NoError(t, db.Close()) }()
	_, err = db.ExecContext(ctx, fmt.Sprintf(`DROP SCHEMA IF EXISTS %[1]s CASCADE; CREATE SCHEMA %[1]s`, schema))
	require.NoError(t, err)
	files, err := migrations.FS(service, migrations.Postgres)
	require.NoError(t, err)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files)
	require.NoError(t, err)
	_, err = provider.Up(ctx)
	require.NoError(t, err)

	conn, err := pgx.ConnectConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.WithoutCancel(ctx))) })
	for _, statement := range fill {
		_, err := conn.Exec(ctx, statement)
		require.NoError(t, err)
	}
	return conn
}

// readTheirIndexAlone holds statements against their plans. A statement is
// planned for its arguments at first and, run often, once for all arguments;
// both plans must read the same.
func readTheirIndexAlone(t *testing.T, conn *pgx.Conn, statements map[string]planned) {
	t.Helper()
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		_, err := conn.Exec(t.Context(), "SET plan_cache_mode = "+mode)
		require.NoError(t, err)
		for name, test := range statements {
			if test.postgres == nil {
				continue
			}
			t.Run(mode+"/"+name, func(t *testing.T) {
				plan := explainPrepared(t, conn, test.sql, test.args)
				var steps []string
				plan.each(func(step planStep) {
					if step.Relation == "service_limits" {
						return // a handful of rows, read as the planner likes
					}
					require.NotEqual(t, "Seq Scan", step.Type)
					switch {
					case step.Index != "":
						steps = append(steps, step.Index)
					case strings.HasSuffix(step.Type, "Sort") && strings.Contains(test.sql, "ORDER BY"):
						steps = append(steps, step.Type)
					}
				})
				require.Equal(t, test.postgres, steps)
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

package sqlstore

import (
	"testing"

	"github.com/pocketflowgo/pocketflow/migrations"
)

func flowStatements() map[string]planned {
	const flow, version = "sqlite_autoindex_flows_1 (id=?)", "sqlite_autoindex_flow_versions_1 (id=?)"
	ofFlow := func(sql string) planned {
		return planned{
			sql, []any{"f"}, []string{"f USING INDEX " + flow, "v USING INDEX flow_versions_number (flow_id=?)"},
			[]string{"flow_versions_number", "flows_pkey"},
		}
	}
	return map[string]planned{
		"get":        {getFlowSQL, []any{"f"}, []string{flow}, []string{"flows_pkey"}},
		"find":       {findFlowSQL, []any{"n"}, []string{"flows_name (name=?)"}, []string{"flows_name"}},
		"list":       {listFlowsSQL, []any{"i", 1, 0}, []string{"(id<?)"}, []string{"flows_pkey"}},
		"list named": {listNamedFlowsSQL, []any{"i", 1, 0, "n"}, []string{"flows_name (name=? AND id<?)"}, []string{"flows_name"}},
		"number":     {nextVersionSQL, []any{"f"}, []string{"COVERING INDEX flow_versions_number (flow_id=?)"}, []string{"flow_versions_number"}},
		"version":    {getVersionSQL, []any{"v"}, []string{"v USING INDEX " + version, "f USING INDEX " + flow}, []string{"flow_versions_pkey", "flows_pkey"}},
		"latest":     ofFlow(resolveLatestSQL),
		"numbered": {
			resolveNumberSQL, []any{"f", 1}, []string{"v USING INDEX flow_versions_number (flow_id=? AND version=?)", "f USING INDEX " + flow},
			[]string{"flow_versions_number", "flows_pkey"},
		},
		"versions": ofFlow(listVersionsSQL),
	}
}

func TestFlowPlans_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	readTheirIndexAloneOnSQLite(t, migrated(t, migrations.Catalog), flowStatements())
}

func TestFlowPlansOnPostgres_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	conn := filledOnPostgres(t, migrations.Catalog,
		`INSERT INTO flows SELECT 'flow-' || n, 'name-' || (n / 4), '', n FROM generate_series(1, 20000) n`,
		`INSERT INTO flow_versions SELECT 'ver-' || n, 'flow-' || (n / 4), n % 4, '{}', 'published', n FROM generate_series(4, 20000) n`,
		`VACUUM ANALYZE flows, flow_versions`)
	readTheirIndexAlone(t, conn, flowStatements())
}

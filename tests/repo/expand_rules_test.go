package repo

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
)

// settled are faults of migrations that came before the first release: nothing
// that serves has ever met them. No migration is added here.
var settled = map[string][]found{
	"queue/postgres/00002_limits.sql": {
		{blocks, "CREATE INDEX JOBS_CLAIMED ON JOBS ( SERVICE )"},
		{blocks, "CREATE INDEX JOBS_DEAD_NEWEST ON JOBS ( ID )"},
		{blocks, "CREATE INDEX JOBS_DEAD_SERVICE ON JOBS ( SERVICE ,"},
		{takesAway, "DROP INDEX JOBS_DEAD"}, // jobs_dead_service serves the same queries
	},
	"queue/sqlite/00002_limits.sql": {{takesAway, "DROP INDEX JOBS_DEAD"}},
	"scheduler/postgres/00002_waits.sql": {
		{blocks, "CREATE INDEX TASKS_APPROVALS ON TASKS ( ID )"},
		{blocks, "CREATE INDEX TASKS_FLOW_APPROVALS ON TASKS ( FLOW_ID ,"},
	},
}

// Expand, then contract: while a migration runs and after it, the version
// before serves on. docs/upgrades.md says how to write one.
func TestMigrations_LetTheVersionBeforeServeOn(t *testing.T) {
	t.Parallel()
	read := 0
	for _, service := range migrations.Services {
		contracts := map[string][]int64{}
		for _, dialect := range migrations.Dialects {
			dir, err := migrations.FS(service, dialect)
			require.NoError(t, err)
			list, err := migrations.List(service, dialect)
			require.NoError(t, err)
			names, err := fs.Glob(dir, "*.sql")
			require.NoError(t, err)
			require.Len(t, names, len(list))
			for i, name := range names {
				text, err := fs.ReadFile(dir, name)
				require.NoError(t, err)
				path := service + "/" + dialect + "/" + name
				faults, err := faultsOf(file{Dialect: dialect, Version: list[i].Version, Text: string(text)})
				require.NoError(t, err, path)
				require.ElementsMatch(t, settled[path], faults, path)
				contracts[dialect] = append(contracts[dialect], list[i].Contract)
				read++
			}
		}
		require.Equal(t, contracts[migrations.SQLite], contracts[migrations.Postgres], "contract marks of %s in both dialects", service)
	}
	require.GreaterOrEqual(t, read, 14)
}

func TestExpandRules(t *testing.T) {
	t.Parallel()
	const mark = "-- contract: needs 00003\n"
	const alone = "-- +goose NO TRANSACTION\n"
	for _, c := range []struct {
		name, up string
		sqlite   bool
		want     []fault
	}{
		{name: "NewTableWithAllThatBelongsToIt", up: `CREATE TABLE a (id TEXT PRIMARY KEY, n BIGINT NOT NULL);
			CREATE UNIQUE INDEX a_n ON a (n); ALTER TABLE a ADD COLUMN m BIGINT NOT NULL; INSERT INTO a VALUES ('x;--', 1, 2); UPDATE a SET n = 2;`},
		{name: "NullableColumn", up: `ALTER TABLE jobs ADD COLUMN x TEXT;`},
		{name: "ColumnWithDefault", up: `ALTER TABLE jobs ADD COLUMN x TEXT COLLATE "C" NOT NULL DEFAULT 'it''s; /*';`},
		{name: "ColumnsWithDefaults", up: `ALTER TABLE jobs ADD x BIGINT NOT NULL DEFAULT -1, ADD COLUMN y NUMERIC(5, 2) DEFAULT 0;`},
		{name: "SettingsAndComments", up: `ALTER TABLE jobs SET (fillfactor = 70); COMMENT ON TABLE jobs IS 'drop table';`},
		{name: "IndexBuiltConcurrently", up: alone + `DROP INDEX CONCURRENTLY IF EXISTS jobs_x; CREATE INDEX CONCURRENTLY jobs_x ON jobs (x);`},
		{name: "IndexThatWaitsForOldTransactions", up: alone + `SET lock_timeout = 0; DROP INDEX CONCURRENTLY IF EXISTS jobs_x;
			CREATE INDEX CONCURRENTLY jobs_x ON jobs (x); RESET lock_timeout; ALTER TABLE jobs ADD COLUMN IF NOT EXISTS x TEXT;`},
		{name: "TableThatIsWaitedFor", up: alone + `SET lock_timeout = 0; ALTER TABLE jobs ADD COLUMN IF NOT EXISTS x TEXT;`, want: []fault{blocks}},
		{name: "LocksWaitedForInATransaction", up: `SET lock_timeout = 0;`, want: []fault{unknown}},
		{name: "SQLiteIndex", up: `CREATE INDEX jobs_x ON jobs (x);`, sqlite: true},
		{name: "InCommentsAndLiterals", up: "/* DROP TABLE jobs; /* nested */ ; */ -- DROP TABLE jobs;\nCREATE TABLE b (t TEXT DEFAULT 'DROP TABLE jobs;', \"DROP\" TEXT DEFAULT $q$;DROP TABLE jobs;$q$);"},

		{name: "DropTable", up: `DROP TABLE jobs;`, want: []fault{takesAway}},
		{name: "DropTableInLowerCaseBehindAComment", up: "drop /* x */ table\n-- y\n if exists jobs cascade;", want: []fault{takesAway}},
		{name: "DropColumn", up: `ALTER TABLE jobs DROP COLUMN x;`, want: []fault{takesAway}},
		{name: "DropColumnBehindAnother", up: `ALTER TABLE jobs ADD COLUMN y TEXT, DROP x;`, want: []fault{takesAway}},
		{name: "RenameColumn", up: `ALTER TABLE jobs RENAME COLUMN x TO y;`, want: []fault{takesAway}},
		{name: "RenameTable", up: `ALTER TABLE jobs RENAME TO work;`, want: []fault{takesAway}},
		{name: "ChangeType", up: `ALTER TABLE jobs ALTER COLUMN x TYPE BIGINT;`, want: []fault{takesAway, blocks}},
		{name: "SetNotNull", up: `ALTER TABLE ONLY jobs ALTER x SET NOT NULL;`, want: []fault{takesAway}},
		{name: "DropDefault", up: `ALTER TABLE jobs ALTER x DROP DEFAULT;`, want: []fault{takesAway}},
		{name: "ColumnWithoutDefault", up: `ALTER TABLE jobs ADD COLUMN x TEXT NOT NULL;`, want: []fault{takesAway}},
		{name: "ColumnWithoutDefaultInSQLite", up: `ALTER TABLE jobs ADD COLUMN x TEXT NOT NULL;`, sqlite: true, want: []fault{takesAway}},
		{name: "ComputedDefault", up: `ALTER TABLE jobs ADD COLUMN x TEXT DEFAULT gen_random_uuid();`, want: []fault{blocks}},
		{name: "ComputedDefaultInParentheses", up: `ALTER TABLE jobs ADD COLUMN x BIGINT DEFAULT (1 + 1);`, want: []fault{blocks}},
		{name: "ColumnWithReference", up: `ALTER TABLE jobs ADD COLUMN x TEXT REFERENCES a (id);`, want: []fault{takesAway, blocks}},
		{name: "Constraint", up: `ALTER TABLE jobs ADD CONSTRAINT c CHECK (x > 0);`, want: []fault{takesAway, blocks}},
		{name: "ConstraintNotValid", up: `ALTER TABLE jobs ADD CONSTRAINT c CHECK (x > 0) NOT VALID;`, want: []fault{takesAway}},
		{name: "DropIndex", up: `DROP INDEX jobs_x;`, want: []fault{takesAway}},
		{name: "DropIndexConcurrently", up: alone + `DROP INDEX CONCURRENTLY IF EXISTS jobs_x;`, want: []fault{takesAway}},
		{name: "NewTableThatRefersToAnOldOne", up: `CREATE TABLE a (id TEXT REFERENCES jobs (id));`, want: []fault{takesAway}},
		{name: "Index", up: `CREATE INDEX jobs_x ON jobs (x);`, want: []fault{blocks}},
		{name: "IndexOnAQuotedName", up: `CREATE INDEX "jobs_x" ON "jobs" (x);`, want: []fault{blocks}},
		{name: "UniqueIndex", up: `CREATE UNIQUE INDEX jobs_x ON jobs (x);`, sqlite: true, want: []fault{takesAway}},
		{name: "IndexConcurrentlyInATransaction", up: `CREATE INDEX CONCURRENTLY jobs_x ON jobs (x);`, want: []fault{inTx, noAgain}},
		{name: "IndexConcurrentlyThatKeepsARemnant", up: alone + `CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_x ON jobs (x);`, want: []fault{noAgain}},
		{name: "TableOutsideATransaction", up: alone + `CREATE TABLE a (id TEXT);`, want: []fault{noAgain}},
		{name: "Update", up: `UPDATE jobs SET x = 1 WHERE x IS NULL;`, want: []fault{blocks}},
		{name: "Delete", up: `DELETE FROM jobs;`, want: []fault{blocks}},
		{name: "Insert", up: `INSERT INTO jobs SELECT * FROM old;`, want: []fault{takesAway}},
		{name: "Trigger", up: `CREATE TRIGGER x AFTER INSERT ON jobs EXECUTE FUNCTION f();`, want: []fault{unknown}},
		{name: "Anything", up: `LOCK TABLE jobs;`, want: []fault{unknown}},

		{name: "ContractThatDrops", up: mark + `DROP TABLE jobs; ALTER TABLE tasks DROP COLUMN x; ALTER TABLE tasks ALTER y SET NOT NULL;`},
		{name: "ContractMayNotBlock", up: mark + `ALTER TABLE jobs ALTER x TYPE BIGINT; UPDATE jobs SET x = 1;`, want: []fault{blocks, blocks}},
		{name: "ContractThatNeedsItself", up: "-- contract: needs 00004\nDROP TABLE jobs;", want: []fault{badMark}},
		{name: "ContractThatTakesNothing", up: mark + `CREATE TABLE a (id TEXT);`, want: []fault{needlessMark}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dialect := migrations.Postgres
			if c.sqlite {
				dialect = migrations.SQLite
			}
			faults, err := faultsOf(file{Dialect: dialect, Version: 4, Text: "-- +goose Up\n" + c.up + "\n-- +goose Down\nDROP TABLE a;\n"})
			require.NoError(t, err)
			var got []fault
			for _, one := range faults {
				got = append(got, one.fault)
			}
			require.Equal(t, c.want, got, faults)
		})
	}
}

func TestExpandRules_RefuseTextThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	for _, up := range []string{"CREATE TABLE a (id TEXT)", "COMMENT ON a IS 'x;", "/* x", "$a$ ;", "-- contract: needs x\nDROP TABLE a;"} {
		_, err := faultsOf(file{Dialect: migrations.Postgres, Version: 2, Text: up + "\n-- +goose Down\n"})
		require.Error(t, err, up)
	}
}

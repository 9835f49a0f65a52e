package conformance

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

// schema is what the two dialects must have in common, by table.
type schema map[string]*table

type table struct {
	Columns     []column
	PrimaryKey  []string
	Indexes     map[string]index // besides the primary key's
	ForeignKeys []foreignKey
}

type column struct {
	Name    string
	Class   typeClass
	NotNull bool
}

// typeClass is what a column holds, whatever the dialect calls it.
type typeClass string

const (
	classText    typeClass = "text"
	classInteger typeClass = "integer" // 64 bits in both
	classReal    typeClass = "real"    // 64 bits in both
)

type index struct {
	Columns   []string // "DESC" with those that descend
	Unique    bool
	Predicate string // "" for an index of all rows
}

type foreignKey struct{ Column, Table, Target string }

func TestSchema_IsTheSameInBothDialects(t *testing.T) {
	t.Parallel()
	for _, service := range migrations.Services {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			sqlite, postgres := newSQLite(t, service), newPostgres(t, service)
			sqlite.up(t)
			postgres.up(t)
			want := sqlite.read(t)
			require.NotEmpty(t, want)
			require.Equal(t, want, postgres.read(t))
		})
	}
}

func TestSchema_DownLeavesNothingAndUpWorksAgain(t *testing.T) {
	t.Parallel()
	for _, service := range migrations.Services {
		for _, dialect := range migrations.Dialects {
			t.Run(service+"/"+dialect, func(t *testing.T) {
				t.Parallel()
				db := newDatabase(t, service, dialect)
				db.up(t)
				before := db.read(t)

				status, err := migrate.DownTo(t.Context(), db.target, 0)
				require.NoError(t, err)
				require.Zero(t, status.Database)
				require.Empty(t, db.leftovers(t))

				db.up(t)
				require.Equal(t, before, db.read(t))
			})
		}
	}
}

func TestMigrations_FilesHaveTheSameNames(t *testing.T) {
	t.Parallel()
	for _, service := range migrations.Services {
		sqlite, err := migrations.Version(service, migrations.SQLite)
		require.NoError(t, err)
		postgres, err := migrations.Version(service, migrations.Postgres)
		require.NoError(t, err)
		require.Equal(t, sqlite, postgres, service)
		require.Equal(t, fileNames(t, service, migrations.SQLite), fileNames(t, service, migrations.Postgres), service)
	}
}

// database is one service's database in one dialect.
type database struct {
	target migrate.Target
	// read returns the schema; leftovers names everything in it that is not
	// goose's.
	read      func(t *testing.T) schema
	leftovers func(t *testing.T) []string
	// open opens it beside whatever else has it.
	open func(t *testing.T) *sql.DB
}

func newDatabase(t *testing.T, service, dialect string) database {
	t.Helper()
	if dialect == migrations.SQLite {
		return newSQLite(t, service)
	}
	return newPostgres(t, service)
}

func newSQLite(t *testing.T, service string) database {
	t.Helper()
	path := filepath.Join(t.TempDir(), "schema.db")
	return database{
		target:    migrate.Target{Service: service, DSN: "sqlite://" + path},
		read:      func(t *testing.T) schema { return readSQLite(t, path) },
		leftovers: func(t *testing.T) []string { return sqliteObjects(t, path) },
		open:      func(t *testing.T) *sql.DB { return openSQLite(t, path) },
	}
}

func newPostgres(t *testing.T, service string) database {
	t.Helper()
	dsn := pgtest.DSN(t)
	return database{
		target:    migrate.Target{Service: service, DSN: dsn},
		read:      func(t *testing.T) schema { return readPostgres(t, dsn, service) },
		leftovers: func(t *testing.T) []string { return postgresObjects(t, dsn, service) },
		open:      func(t *testing.T) *sql.DB { return openPostgres(t, dsn, service) },
	}
}

func (db database) up(t *testing.T) {
	t.Helper()
	status, err := migrate.Up(context.Background(), db.target)
	require.NoError(t, err)
	require.Equal(t, status.Binary, status.Database)
}

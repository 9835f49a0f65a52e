// Package connect opens a role's database by its data source name: the one
// place that knows every driver. Services import it, and storage for the role
// itself, and nothing below.
package connect

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
	"github.com/pocketflowgo/pocketflow/shared/storage/postgres"
	"github.com/pocketflowgo/pocketflow/shared/storage/sqlite"
)

// Migration says what opening does about the schema.
type Migration string

const (
	// MigrateOnOpen applies missing migrations before the role is returned.
	MigrateOnOpen Migration = "on_open"
	// MigrateByHand leaves the schema alone; Ready tells when it is older than
	// the binary. The zero value means the same.
	MigrateByHand Migration = "by_hand"
)

// Migrations lists every way.
var Migrations = []Migration{MigrateOnOpen, MigrateByHand}

// Options are how a database is opened. The zero value serves.
type Options struct {
	Migration Migration
	// Metrics is where the database's commits are counted; nil: nowhere.
	Metrics prometheus.Registerer
	// MaxConns bounds the connections that serve reads on SQLite, and all
	// connections on Postgres; 0 for the driver's default.
	MaxConns int
}

// Workers opens the registry's database.
func Workers(ctx context.Context, dataSource string, options Options) (storage.Workers, error) {
	db, err := open(ctx, migrations.Registry, dataSource, options)
	if err != nil {
		return nil, err
	}
	return sqlstore.NewWorkers(db), nil
}

// Flows opens the catalog's database.
func Flows(ctx context.Context, dataSource string, options Options) (storage.Flows, error) {
	db, err := open(ctx, migrations.Catalog, dataSource, options)
	if err != nil {
		return nil, err
	}
	return sqlstore.NewFlows(db), nil
}

// Tasks opens the scheduler's database.
func Tasks(ctx context.Context, dataSource string, options Options) (storage.Tasks, error) {
	db, err := open(ctx, migrations.Scheduler, dataSource, options)
	if err != nil {
		return nil, err
	}
	return sqlstore.NewTasks(db), nil
}

// Queue opens the queue-gateway's database.
func Queue(ctx context.Context, dataSource string, options Options) (storage.Queue, error) {
	db, err := open(ctx, migrations.Queue, dataSource, options)
	if err != nil {
		return nil, err
	}
	return sqlstore.NewQueue(db), nil
}

// OneProcess reports whether the database behind the name serves one process at
// a time, which its driver then sees to.
func OneProcess(dataSource string) (bool, error) {
	name, err := dsn.Parse(dataSource)
	return name.Dialect == migrations.SQLite, err
}

// open fails with ErrSchemaNewer when the schema is newer than the binary, and
// with ErrLocked when another process has the SQLite file.
func open(ctx context.Context, service, dataSource string, options Options) (*sqlstore.DB, error) {
	fail := func(err error) (*sqlstore.DB, error) {
		return nil, fmt.Errorf("open the %s database: %w", service, err)
	}
	name, err := dsn.Parse(dataSource)
	if err != nil {
		return fail(err)
	}
	if options.Migration == MigrateOnOpen {
		if _, err := migrate.Up(ctx, migrate.Target{Service: service, DSN: dataSource}); err != nil {
			return fail(err)
		}
	}
	commits, err := newCommits(options.Metrics, service)
	if err != nil {
		return fail(err)
	}
	driver, err := openDriver(ctx, driverParams{service: service, name: name, options: options, commits: commits})
	if err != nil {
		return fail(err)
	}
	db, err := sqlstore.New(driver, service)
	if err != nil {
		return fail(errors.Join(err, driver.Close()))
	}
	// An older schema is for Ready to report: the operator may be about to
	// migrate. A newer one never comes right, and writing to it could harm.
	if err := db.Fits(ctx); err != nil && !errors.Is(err, storage.ErrSchemaOlder) {
		return fail(errors.Join(err, db.Close()))
	}
	return db, nil
}

type driverParams struct {
	service string
	name    dsn.DSN
	options Options
	commits sqlstore.Commits
}

func openDriver(ctx context.Context, p driverParams) (sqlstore.Driver, error) {
	if p.name.Dialect == migrations.SQLite {
		return sqlite.Open(ctx, sqlite.Config{Path: p.name.Path, Readers: p.options.MaxConns, Commits: p.commits})
	}
	return postgres.Open(ctx, postgres.Config{DSN: p.name, Schema: p.service, MaxConns: p.options.MaxConns, Commits: p.commits})
}

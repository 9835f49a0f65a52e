// Package postgres is the storage driver for PostgreSQL: any number of
// processes on one database, each service in a schema of its own. It owns the
// pool, the transactions with their retries, and LISTEN/NOTIFY; what is stored,
// and by which SQL, it leaves to sqlstore.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/hints"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// Config says how to open a service's schema.
type Config struct {
	DSN    dsn.DSN
	Schema string // the service's name
	// MaxConns bounds the pool; 0 for the URL's pool_max_conns or else 10.
	MaxConns int
	// Commits is told of each commit; nil: nobody is.
	Commits sqlstore.Commits
}

const (
	defaultMaxConns = 10
	// openTimeout bounds the first connection, so that a wrong address is
	// reported and not waited for.
	openTimeout = 10 * time.Second
	// idleInTransaction is when the server ends a transaction that its client
	// leaves alone. Ours are never idle for longer than a round trip; but a
	// replica whose machine is frozen in the middle of one would keep its row
	// locks, and with them everybody who needs those rows, until it is back.
	idleInTransaction = 5 * time.Second
	idleLimit         = "idle_in_transaction_session_timeout"
	// lockWait is how long a transaction waits for a row that another one holds
	// locked, keeping those it has itself, before it is taken back and tried
	// again.
	lockWait  = 2 * time.Second
	lockLimit = "lock_timeout"
	// pingTimeout bounds the question whether a connection that was idle still
	// lives: after a silent failover nobody answers.
	pingTimeout = 3 * time.Second
	// pipelines is how many merged batches of one method run at once. Two, one
	// of which executes while the other commits, are no faster with one
	// scheduler, and with several each has batches of half the size: a tenth
	// more of everybody's processor time.
	pipelines = 1
)

// Driver is an open schema. It implements sqlstore.Driver.
type Driver struct {
	pool      *pgxpool.Pool
	listening *pgx.ConnConfig
	schema    string
	sender    string // of notifications
	commits   sqlstore.Commits

	hints    hints.Hub
	notifier *notifier
	notified chan struct{} // closed: notify has returned

	closeOnce sync.Once
	closed    chan struct{}
}

// Open connects to the database. It changes nothing there; the schema may be
// missing.
func Open(ctx context.Context, config Config) (*Driver, error) {
	if config.Commits == nil {
		config.Commits = sqlstore.Uncounted{}
	}
	settings, err := parse(config)
	if err != nil {
		return nil, err
	}
	setLimit(settings.ConnConfig, lockLimit, lockWait)
	maps.Copy(settings.ConnConfig.RuntimeParams, sqlstore.PostgresSettings())
	if settings.PingTimeout == 0 {
		settings.PingTimeout = pingTimeout
	}
	pool, err := pgxpool.NewWithConfig(ctx, settings)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", config.DSN, err)
	}
	ping, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := pool.Ping(ping); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to database %s: %w", config.DSN, reason(err))
	}
	driver := &Driver{
		pool: pool, listening: settings.ConnConfig.Copy(), schema: config.Schema, sender: newSender(),
		commits: config.Commits, notified: make(chan struct{}), closed: make(chan struct{}),
		notifier: newNotifier(),
	}
	go driver.notify()
	return driver, nil
}

// migrationLockWait is how long a migration asks for a table that is in use. It
// is short because all who come after the migration queue up behind it, even
// when they could share the table with the one who has it (a pg_dump, for the
// hours that it takes); shorter than lockWait, so that they do not give up.
const migrationLockWait = time.Second

// OpenForMigration opens the schema for goose, and makes it when it does not
// exist. Of a statement that got no lock in time, LockedOut says so.
func OpenForMigration(ctx context.Context, name dsn.DSN, schema string) (db *sql.DB, release func() error, err error) {
	settings, err := parse(Config{DSN: name, Schema: schema})
	if err != nil {
		return nil, nil, err
	}
	setLimit(settings.ConnConfig, lockLimit, migrationLockWait)
	db = stdlib.OpenDB(*settings.ConnConfig)
	if err := createSchema(ctx, db, schema); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("create schema %s in database %s: %w", schema, name, reason(err)), db.Close())
	}
	return db, db.Close, nil
}

// OpenToRead opens the schema for a few queries, and makes nothing.
func OpenToRead(ctx context.Context, name dsn.DSN, schema string) (*sql.DB, error) {
	settings, err := parse(Config{DSN: name, Schema: schema})
	if err != nil {
		return nil, err
	}
	settings.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	db := stdlib.OpenDB(*settings.ConnConfig)
	ping, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := db.PingContext(ping); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to database %s: %w", name, reason(err)), db.Close())
	}
	return db, nil
}

// parse makes the pool's settings. The parser's own errors may quote the URL,
// so they are not passed on.
func parse(config Config) (*pgxpool.Config, error) {
	settings, err := pgxpool.ParseConfig(config.DSN.URL)
	if err != nil {
		return nil, fmt.Errorf("database URL %s has a setting that PostgreSQL clients do not know", config.DSN)
	}
	settings.ConnConfig.RuntimeParams["search_path"] = config.Schema
	if settings.ConnConfig.RuntimeParams["application_name"] == "" {
		settings.ConnConfig.RuntimeParams["application_name"] = ApplicationName(config.Schema)
	}
	setLimit(settings.ConnConfig, idleLimit, idleInTransaction)
	switch {
	case config.MaxConns > 0:
		settings.MaxConns = int32(config.MaxConns)
	case settings.MaxConns < defaultMaxConns:
		settings.MaxConns = defaultMaxConns
	}
	return settings, nil
}

// setLimit sets one of the server's time-outs, unless the operator's URL does.
func setLimit(settings *pgx.ConnConfig, name string, limit time.Duration) {
	if settings.RuntimeParams[name] == "" {
		settings.RuntimeParams[name] = strconv.FormatInt(limit.Milliseconds(), 10)
	}
}

// reason is why there is no connection. pgx names every address and way that it
// tried, on a line each; they fail alike, so the last one's cause is enough.
func reason(err error) error {
	var refused *pgconn.ConnectError
	var server *pgconn.PgError
	var name *net.DNSError
	var system *net.OpError
	switch {
	case !errors.As(err, &refused):
		return err
	case errors.As(err, &server):
		return server
	case errors.As(err, &name):
		return name
	case errors.As(err, &system):
		return system
	default:
		return err
	}
}

// createSchema makes the schema. Two processes that do it at once collide in
// the catalog's unique index in spite of IF NOT EXISTS; the second try finds
// the other's.
func createSchema(ctx context.Context, db *sql.DB, schema string) error {
	statement := "CREATE SCHEMA IF NOT EXISTS " + pgx.Identifier{schema}.Sanitize()
	_, err := db.ExecContext(ctx, statement)
	if code(err) == uniqueViolation {
		_, err = db.ExecContext(ctx, statement)
	}
	return err
}

// Run implements sqlstore.Conn for reads.
func (d *Driver) Run(ctx context.Context, batch *sqlstore.Batch) error {
	return told(reason(run(ctx, d.pool, batch)))
}

// Dialect implements sqlstore.Driver.
func (d *Driver) Dialect() sqlstore.Dialect {
	return sqlstore.Dialect{
		Name:       migrations.Postgres,
		ForUpdate:  ` FOR UPDATE`,
		SkipLocked: ` FOR UPDATE SKIP LOCKED`,
		TableCount: `SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1`,
		Pipelines:  pipelines,
	}
}

// Close implements sqlstore.Driver: the pool waits for connections in use.
func (d *Driver) Close() error {
	d.closeOnce.Do(func() {
		close(d.closed)
		d.hints.Close()
		<-d.notified
		d.pool.Close()
	})
	return nil
}

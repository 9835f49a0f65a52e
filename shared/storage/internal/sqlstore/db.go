package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// DB is one service's database: what the roles have in common. It implements
// storage.Base.
type DB struct {
	driver  Driver
	service string
	version int64 // of the schema that this binary was built for
}

// New makes a service's database of an open driver.
func New(driver Driver, service string) (*DB, error) {
	version, err := migrations.Version(service, driver.Dialect().Name)
	if err != nil {
		return nil, err
	}
	return &DB{driver: driver, service: service, version: version}, nil
}

// Read is the connection for queries outside a transaction.
func (db *DB) Read() Conn { return reader{db.driver} }

type reader struct{ conn Conn }

func (r reader) Run(ctx context.Context, batch *Batch) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return r.conn.Run(ctx, findable(batch))
}

// Write runs the closure in a transaction, and again while its rows are locked;
// see Driver.
func (db *DB) Write(ctx context.Context, closure func(ctx context.Context, tx Tx) error) error {
	return patiently(ctx, func(ctx context.Context) error { return db.TryWrite(ctx, closure) })
}

// TryWrite is Write that leaves it to the caller, a group, to try again when
// rows are locked.
func (db *DB) TryWrite(ctx context.Context, closure func(ctx context.Context, tx Tx) error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return db.driver.Write(ctx, func(ctx context.Context, tx Tx) error {
		return closure(ctx, strictTx{tx})
	})
}

// Dialect says how this database's SQL differs.
func (db *DB) Dialect() Dialect { return db.driver.Dialect() }

// Listen calls hear for every hint; see Driver.
func (db *DB) Listen(ctx context.Context, hear func(Hint)) error {
	return db.driver.Listen(ctx, hear)
}

// goose keeps one row per applied migration in this table and deletes it when
// the migration is taken back.
const (
	versionTable     = "goose_db_version"
	schemaVersionSQL = `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`
)

// Ready implements storage.Base. It must not mind a newer schema: in a rolling
// upgrade the first new replica migrates, and every old one would then leave
// the load balancer at the same moment.
func (db *DB) Ready(ctx context.Context) error {
	if err := db.Fits(ctx); !errors.Is(err, storage.ErrSchemaNewer) {
		return err
	}
	return nil
}

// Fits is nil when the schema is the very one that this binary was built for,
// which is what a binary asks when it starts; otherwise ErrUnfinishedCopy,
// ErrSchemaOlder, ErrSchemaNewer or the connection's error.
func (db *DB) Fits(ctx context.Context) error {
	if err := db.whole(ctx); err != nil {
		return err
	}
	version, err := db.SchemaVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version of the %s database: %w", db.service, err)
	}
	switch {
	case version < db.version:
		return fmt.Errorf("%w: the %s database is at version %d, this binary needs %d: run the migrations",
			storage.ErrSchemaOlder, db.service, version, db.version)
	case version > db.version:
		return fmt.Errorf("%w: the %s database is at version %d, this binary knows %d: run a newer binary",
			storage.ErrSchemaNewer, db.service, version, db.version)
	}
	return nil
}

// SchemaVersion is the version of the last migration that was applied to the
// database; 0 for an empty one.
func (db *DB) SchemaVersion(ctx context.Context) (int64, error) {
	tables, err := queryOne(ctx, db.Read(), scanInt, db.driver.Dialect().TableCount, versionTable)
	if err != nil || tables == 0 {
		return 0, err
	}
	return queryOne(ctx, db.Read(), scanInt, schemaVersionSQL)
}

// Close implements storage.Base.
func (db *DB) Close() error { return db.driver.Close() }

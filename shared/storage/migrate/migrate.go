// Package migrate brings a service's database to a schema version, forward or
// back. It owns how migrations run; what they contain is in the migrations
// module. Two processes may migrate one database at once: the second waits (on
// SQLite it is refused) and then finds nothing to do.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
	"github.com/pocketflowgo/pocketflow/shared/storage/postgres"
	"github.com/pocketflowgo/pocketflow/shared/storage/sqlite"
)

// Target is a service's database.
type Target struct {
	Service string // one of migrations.Services
	DSN     string
}

// Status tells where a database stands.
type Status struct {
	Database int64 // the version of the database
	Binary   int64 // the version that this binary was built for
}

// Up applies all migrations that the database has not seen and returns where
// it stands. ErrSchemaNewer when a newer binary has migrated it.
func Up(ctx context.Context, target Target) (Status, error) {
	return change(ctx, target, "migrate up", func(provider *goose.Provider) error {
		_, err := provider.Up(ctx)
		return err
	})
}

// Down takes back the last migration. ErrSchemaNewer when this binary does not
// have it.
func Down(ctx context.Context, target Target) (Status, error) {
	return change(ctx, target, "migrate down", func(provider *goose.Provider) error {
		_, err := provider.Down(ctx)
		return err
	})
}

// DownTo takes back every migration after the given version; 0 for all.
// ErrSchemaNewer as with Down.
func DownTo(ctx context.Context, target Target, version int64) (Status, error) {
	return change(ctx, target, "migrate down", func(provider *goose.Provider) error {
		_, err := provider.DownTo(ctx, version)
		return err
	})
}

// Read tells where a database stands and applies nothing. A SQLite file that
// does not exist stands at 0, and is not made; a missing Postgres schema is.
func Read(ctx context.Context, target Target) (Status, error) {
	if name, err := dsn.Parse(target.DSN); err == nil && name.Dialect == migrations.SQLite {
		if _, err := os.Stat(name.Path); errors.Is(err, fs.ErrNotExist) {
			binary, err := migrations.Version(target.Service, migrations.SQLite)
			return Status{Binary: binary}, err
		}
	}
	return with(ctx, target, "read the schema version", func(*goose.Provider) error { return nil })
}

// change is with for an action that migrates. Of a newer database goose would
// say that migrations are missing, or nothing at all.
func change(ctx context.Context, target Target, what string, action func(*goose.Provider) error) (Status, error) {
	return with(ctx, target, what, func(provider *goose.Provider) error {
		database, binary, err := provider.GetVersions(ctx)
		if err != nil {
			return err
		}
		if database > binary {
			return fmt.Errorf("%w: the database is at version %d, this binary knows %d: run a newer binary",
				storage.ErrSchemaNewer, database, binary)
		}
		return action(provider)
	})
}

// with opens the database for one action and closes it again.
func with(ctx context.Context, target Target, what string, action func(*goose.Provider) error) (status Status, err error) {
	failed := func(err error) error {
		return fmt.Errorf("%s (%s): %w", what, target.Service, err)
	}
	name, err := dsn.Parse(target.DSN)
	if err != nil {
		return Status{}, failed(err)
	}
	db, release, err := open(ctx, name, target.Service)
	if err != nil {
		return Status{}, failed(err)
	}
	defer func() {
		if closeErr := release(); err == nil && closeErr != nil {
			status, err = Status{}, failed(closeErr)
		}
	}()
	provider, err := newProvider(db, name.Dialect, target.Service)
	if err != nil {
		return Status{}, failed(err)
	}
	if err := action(provider); err != nil {
		return Status{}, failed(err)
	}
	status.Database, status.Binary, err = provider.GetVersions(ctx)
	if err != nil {
		return Status{}, failed(err)
	}
	return status, nil
}

func open(ctx context.Context, name dsn.DSN, service string) (*sql.DB, func() error, error) {
	if name.Dialect == migrations.SQLite {
		return sqlite.OpenForMigration(name.Path)
	}
	return postgres.OpenForMigration(ctx, name, service)
}

func newProvider(db *sql.DB, dialect, service string) (*goose.Provider, error) {
	files, err := migrations.FS(service, dialect)
	if err != nil {
		return nil, err
	}
	if dialect == migrations.SQLite {
		return goose.NewProvider(goose.DialectSQLite3, db, files)
	}
	// Replicas that start together migrate one after the other; services, which
	// have schemas of their own, do not wait for each other.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID(service)), lock.WithLockTimeout(lockRetry, lockTries))
	if err != nil {
		return nil, fmt.Errorf("make the session lock: %w", err)
	}
	return goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
}

// The lock is tried every lockRetry seconds, lockTries times.
const (
	lockRetry = 1
	lockTries = 300
)

// lockID is the number of the service's advisory lock.
func lockID(service string) int64 {
	digest := fnv.New64a()
	// A hash in memory takes every write.
	_, _ = digest.Write([]byte("pocketflow migrations of " + service))
	return int64(digest.Sum64())
}

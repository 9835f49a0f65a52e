// Package migrate brings a service's database to a schema version, forward or
// back. It owns how migrations run; what they contain is in the migrations
// module. Two processes may migrate one database at once: the second waits and
// then finds nothing to do. One that is killed leaves whole migrations behind,
// and the next goes on from there.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/pause"
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

// Up applies all migrations that the database has not seen and returns where
// it stands. ErrSchemaNewer when a newer binary has migrated it.
func Up(ctx context.Context, target Target) (Status, error) {
	return change(ctx, target, "migrate up", func(provider *goose.Provider) error {
		_, err := provider.Up(ctx)
		return err
	})
}

// UpTo applies the migrations up to the given version that the database has not
// seen. ErrSchemaNewer as with Up.
func UpTo(ctx context.Context, target Target, version int64) (Status, error) {
	return change(ctx, target, "migrate up", func(provider *goose.Provider) error {
		_, err := provider.UpTo(ctx, version)
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

// change opens the database for one action and closes it again. Of a newer
// database goose would say that migrations are missing, or nothing at all.
func change(ctx context.Context, target Target, what string, action func(*goose.Provider) error) (status Status, err error) {
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
	if err := persistently(ctx, provider, action); err != nil {
		return Status{}, failed(err)
	}
	version, _, err := provider.GetVersions(ctx)
	if err == nil {
		status, err = newStatus(target.Service, name.Dialect, version)
	}
	if err != nil {
		return Status{}, failed(err)
	}
	return status, nil
}

// persistently repeats an action that gets no lock, because others use the
// table, until they let it: every migration before the one that failed is
// committed, and in the pauses the others have their turn.
func persistently(ctx context.Context, provider *goose.Provider, action func(*goose.Provider) error) error {
	for try := 1; ; try++ {
		database, binary, err := provider.GetVersions(ctx)
		if err != nil {
			return err
		}
		if database > binary {
			return fmt.Errorf("%w: the database is at version %d, this binary knows %d: run a newer binary",
				storage.ErrSchemaNewer, database, binary)
		}
		err = action(provider)
		if !postgres.LockedOut(err) || try == tableTries {
			return err
		}
		if !pause.For(ctx, tablePause) {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

func open(ctx context.Context, name dsn.DSN, service string) (*sql.DB, func() error, error) {
	if name.Dialect == migrations.SQLite {
		return sqlite.OpenToMigrate(ctx, name.Path)
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

// A table in use is asked for tableTries times, with a pause in which those who
// queued up behind the migration are served.
const (
	tablePause = 2 * time.Second
	tableTries = 100
)

// lockID is the number of the service's advisory lock.
func lockID(service string) int64 {
	digest := fnv.New64a()
	// A hash in memory takes every write.
	_, _ = digest.Write([]byte("pocketflow migrations of " + service))
	return int64(digest.Sum64())
}

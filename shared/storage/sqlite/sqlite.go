// Package sqlite is the storage driver for SQLite: one file, one process, no
// server. It owns the connections, the single writer and the lock that keeps a
// second process out; what is stored, and by which SQL, it leaves to sqlstore.
//
// One goroutine writes. It commits all the writes that wait together, because
// a durable commit costs a disk flush however much is in it.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"sync"

	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/hints"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// Config says how to open a database file.
type Config struct {
	Path string
	// Readers is how many connections serve reads; 0 for one per processor,
	// at least 4.
	Readers int
	// Commits is told of each commit; nil: nobody is.
	Commits sqlstore.Commits
}

const minReaders = 4

// Driver is an open database file. It implements sqlstore.Driver.
type Driver struct {
	lock    *fileLock
	readers *readers
	writer  *writer
	hints   hints.Hub

	closeOnce sync.Once
	closeErr  error
}

// Open opens a database file for this process alone, and makes it and its
// directory when they do not exist. ErrLocked when another process has it.
func Open(ctx context.Context, config Config) (*Driver, error) {
	lock, err := lockFile(ctx, config.Path, serving)
	if err != nil {
		return nil, err
	}
	driver, err := open(config, lock)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", config.Path, err), lock.release())
	}
	return driver, nil
}

func open(config Config, lock *fileLock) (*Driver, error) {
	if config.Commits == nil {
		config.Commits = sqlstore.Uncounted{}
	}
	size := config.Readers
	if size == 0 {
		size = max(minReaders, runtime.NumCPU())
	}
	driver := &Driver{lock: lock, readers: newReaders(config.Path, size)}
	// The writer comes first: it makes the file, which readers only open.
	writer, err := openWriter(config, driver.hints.Deliver, driver.readers.shrink)
	if err != nil {
		return nil, err
	}
	if err := driver.readers.openFirst(); err != nil {
		return nil, errors.Join(err, writer.close())
	}
	driver.writer = writer
	return driver, nil
}

// OpenForMigration opens the file without the pools, for work that takes as
// long as it takes. The process lock is held until release is called; whoever
// asks for the file meanwhile is refused.
func OpenForMigration(path string) (db *sql.DB, release func() error, err error) {
	return openAlone(context.Background(), path, serving)
}

// OpenToMigrate opens the file without the pools, for goose. The process lock
// is held until release is called; whoever asks for the file meanwhile waits.
func OpenToMigrate(ctx context.Context, path string) (db *sql.DB, release func() error, err error) {
	return openAlone(ctx, path, migrating)
}

func openAlone(ctx context.Context, path string, purpose use) (db *sql.DB, release func() error, err error) {
	lock, err := lockFile(ctx, path, purpose)
	if err != nil {
		return nil, nil, err
	}
	db, err = sql.Open("sqlite", source(path))
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), lock.release())
	}
	db.SetMaxOpenConns(1)
	return db, func() error { return errors.Join(db.Close(), lock.release()) }, nil
}

// OpenToRead opens a file that exists for queries alone, beside the process
// that has it. It takes no lock: in WAL mode a reader is in nobody's way.
func OpenToRead(path string) (*sql.DB, error) {
	query := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "query_only(1)"}}
	db, err := sql.Open("sqlite", fileURI(path, query))
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return db, nil
}

// source is the data source name of a connection to the file for database/sql.
func source(path string) string {
	return fileURI(path, url.Values{"_pragma": settings()})
}

// settings are the PRAGMAs of a connection to the file.
func settings() []string {
	return []string{
		"busy_timeout(5000)", // a shell or a backup tool may hold the file for a moment
		"journal_mode(WAL)",
		"synchronous(FULL)", // NORMAL would lose the last commits with the power
		"foreign_keys(1)",
		"wal_autocheckpoint(4000)", // pages: 16 MB, so that hot pages are copied back less often
		"cache_size(-16384)",       // KiB
		"temp_store(MEMORY)",
	}
}

func fileURI(path string, query url.Values) string {
	return (&url.URL{Scheme: "file", Opaque: filepath.ToSlash(url.PathEscape(path)), RawQuery: query.Encode()}).String()
}

// Run implements sqlstore.Conn for reads.
func (d *Driver) Run(ctx context.Context, batch *sqlstore.Batch) error {
	return d.readers.run(ctx, batch)
}

// Write implements sqlstore.Driver.
func (d *Driver) Write(ctx context.Context, closure func(context.Context, sqlstore.Tx) error) error {
	return d.writer.write(ctx, closure)
}

// Listen implements sqlstore.Driver. Only this process has the file, so hints
// need not leave it.
func (d *Driver) Listen(ctx context.Context, hear func(sqlstore.Hint)) error {
	d.hints.Listen(ctx, hear, nil)
	return nil
}

// Dialect implements sqlstore.Driver.
func (d *Driver) Dialect() sqlstore.Dialect {
	return sqlstore.Dialect{
		Name:       migrations.SQLite,
		TableCount: `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1`,

		RewritesIndexes: true,
	}
}

// Close implements sqlstore.Driver. The last connection to close puts the log
// back into the file, which one that reads cannot do after an interrupt: it would
// leave two files that are a database only together. The lock goes when nothing
// touches the file any more.
func (d *Driver) Close() error {
	d.closeOnce.Do(func() {
		d.hints.Close()
		d.closeErr = errors.Join(d.readers.close(), d.writer.close(), d.lock.release())
	})
	return d.closeErr
}

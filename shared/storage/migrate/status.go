package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
	"github.com/pocketflowgo/pocketflow/shared/storage/postgres"
	"github.com/pocketflowgo/pocketflow/shared/storage/sqlite"
)

// Status tells where a database stands.
type Status struct {
	Database int64 // the version of the database
	Binary   int64 // the version that this binary was built for
	// Pending are the migrations of this binary that the database has not seen,
	// in order.
	Pending []migrations.Migration
}

// State says what a Status means.
type State string

// The states of a database.
const (
	StateCurrent State = "current" // what this binary was built for
	StateOlder   State = "older"   // this binary migrates it before it serves
	StateNewer   State = "newer"   // this binary refuses to start on it
)

// State says what the status means.
func (s Status) State() State {
	switch {
	case s.Database < s.Binary:
		return StateOlder
	case s.Database > s.Binary:
		return StateNewer
	default:
		return StateCurrent
	}
}

// Read tells where a database stands. It changes nothing and makes nothing: a
// SQLite file or a Postgres schema that does not exist stands at 0. It asks for
// no lock, so it tells of a database in use as well.
func Read(ctx context.Context, target Target) (Status, error) {
	failed := func(err error) (Status, error) {
		return Status{}, fmt.Errorf("read the schema version (%s): %w", target.Service, err)
	}
	name, err := dsn.Parse(target.DSN)
	if err != nil {
		return failed(err)
	}
	version, err := readVersion(ctx, name, target.Service)
	if err != nil {
		return failed(err)
	}
	status, err := newStatus(target.Service, name.Dialect, version)
	if err != nil {
		return failed(err)
	}
	return status, nil
}

func newStatus(service, dialect string, version int64) (Status, error) {
	files, err := migrations.List(service, dialect)
	if err != nil {
		return Status{}, err
	}
	status := Status{Database: version}
	for _, file := range files {
		status.Binary = file.Version
		if file.Version > version {
			status.Pending = append(status.Pending, file)
		}
	}
	return status, nil
}

// goose keeps one row per applied migration and deletes it when the migration
// is taken back.
const (
	sqliteTableSQL   = `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'`
	postgresTableSQL = `SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'goose_db_version'`
	versionSQL       = `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`
)

func readVersion(ctx context.Context, name dsn.DSN, service string) (version int64, err error) {
	var db *sql.DB
	tableSQL := postgresTableSQL
	if name.Dialect == migrations.SQLite {
		if _, err := os.Stat(name.Path); errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		tableSQL = sqliteTableSQL
		db, err = sqlite.OpenToRead(name.Path)
	} else {
		db, err = postgres.OpenToRead(ctx, name, service)
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables int
	if err := db.QueryRowContext(ctx, tableSQL).Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	return version, db.QueryRowContext(ctx, versionSQL).Scan(&version)
}

package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// conn is the one session that this package has with a database. Opening it
// keeps other copies and, on SQLite, services out.
type conn interface {
	// exec runs a statement.
	exec(ctx context.Context, statement string, args ...any) error
	// query runs a query and yields row by row, each a slice of its own. What
	// yields an error yields nothing more.
	query(ctx context.Context, query string, args ...any) iter.Seq2[[]any, error]
	// insert adds rows in one transaction.
	insert(ctx context.Context, t table, rows [][]any) error

	// alone is ErrInUse when a service has the database open.
	alone(ctx context.Context) error
	// freeze keeps writers out until close, and shows what is there now.
	freeze(ctx context.Context, tables []table) error
	// loaded lets the database take note of many new rows.
	loaded(ctx context.Context, tables []table) error

	// close ends the session. What was not committed is undone.
	close() error
}

// dialect is how a kind of database tells of its tables.
type dialect struct {
	// columnsSQL selects table, column, type, place in the primary key (0 for
	// none) and whether it is text in another order than by byte (1).
	columnsSQL string
	// referencesSQL selects a table and one that it refers to.
	referencesSQL string
}

// database is an open database, and what was seen of it.
type database struct {
	conn
	dialect
	name   string // for people and marks; without its password
	binary int64  // the schema version of this binary

	version int64
	tables  []table
	mark    *mark // nil when it is not an unfinished copy
}

// openExisting is open for a database that must be there.
func openExisting(ctx context.Context, service, dataSource string) (*database, error) {
	name, err := dsn.Parse(dataSource)
	if err != nil {
		return nil, err
	}
	if name.Dialect == migrations.SQLite {
		if _, err := os.Stat(name.Path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no database %s", name.Path)
		}
	}
	return open(ctx, service, dataSource)
}

// open opens a database for this process; a SQLite file is made when it does
// not exist.
func open(ctx context.Context, service, dataSource string) (*database, error) {
	name, err := dsn.Parse(dataSource)
	if err != nil {
		return nil, err
	}
	binary, err := migrations.Version(service, name.Dialect)
	if err != nil {
		return nil, err
	}
	db := &database{binary: binary}
	if name.Dialect == migrations.SQLite {
		err = db.openSQLite(ctx, name)
	} else {
		err = db.openPostgres(ctx, name, service)
	}
	if err != nil {
		return nil, err
	}
	if err := db.alone(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", db.name, err), db.close())
	}
	return db, nil
}

const schemaVersionSQL = `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`

// ownTables are in every database and not of the service.
var ownTables = []string{sqlstore.VersionTable, sqlstore.UnfinishedCopyTable}

// look reads version, tables and mark.
func (db *database) look(ctx context.Context) error {
	tables, err := db.readTables(ctx)
	if err != nil {
		return fmt.Errorf("read the tables: %w", err)
	}
	db.tables, db.version, db.mark = nil, 0, nil
	for _, one := range tables {
		switch one.name {
		case sqlstore.VersionTable:
			db.version, err = db.number(ctx, schemaVersionSQL)
		case sqlstore.UnfinishedCopyTable:
			db.mark, err = db.readMark(ctx)
		default:
			db.tables, err = append(db.tables, one), one.check()
		}
		if err != nil {
			return fmt.Errorf("table %s: %w", one.name, err)
		}
	}
	return nil
}

// check refuses a table whose rows have no one order.
func (t table) check() error {
	if len(t.key) == 0 {
		return fmt.Errorf("%w: it has no primary key", ErrSchema)
	}
	return nil
}

func (db *database) checkVersion() error {
	switch {
	case db.version < db.binary:
		return fmt.Errorf("%w: it is at version %d, this binary needs %d: migrate it first (pocketflow migrate up), or use the binary that ran it",
			ErrSchema, db.version, db.binary)
	case db.version > db.binary:
		return fmt.Errorf("%w: it is at version %d, this binary knows %d: use a newer binary", ErrSchema, db.version, db.binary)
	}
	return nil
}

// readTables reads the catalog. It looks at the types of the service's own
// tables only.
func (db *database) readTables(ctx context.Context) ([]table, error) {
	var tables []table
	places := map[string][]int64{} // of the key's columns
	for row, err := range db.query(ctx, db.columnsSQL) {
		if err != nil {
			return nil, err
		}
		in, name, kind := row[0].(string), row[1].(string), row[2].(string)
		place, otherOrder := row[3].(int64), row[4].(int64)
		if len(tables) == 0 || tables[len(tables)-1].name != in {
			tables = append(tables, table{name: in})
		}
		t := &tables[len(tables)-1]
		if slices.Contains(ownTables, in) {
			continue
		}
		class, err := classOf(kind)
		if err != nil {
			return nil, fmt.Errorf("column %s.%s: %w", in, name, err)
		}
		t.columns = append(t.columns, column{name: name, class: class})
		if place > 0 {
			if otherOrder != 0 {
				return nil, fmt.Errorf("%w: the key %s.%s does not compare by byte", ErrSchema, in, name)
			}
			at, _ := slices.BinarySearch(places[in], place)
			places[in] = slices.Insert(places[in], at, place)
			t.key = slices.Insert(t.key, at, name)
		}
	}
	for row, err := range db.query(ctx, db.referencesSQL) {
		if err != nil {
			return nil, err
		}
		for i := range tables {
			if tables[i].name == row[0] {
				tables[i].references = append(tables[i].references, row[1].(string))
			}
		}
	}
	return tables, nil
}

// number runs a query for one number.
func (db *database) number(ctx context.Context, query string) (n int64, err error) {
	for row, err := range db.query(ctx, query) {
		if err != nil {
			return 0, err
		}
		n = row[0].(int64)
	}
	return n, nil
}

// lastKey is the greatest primary key of a table; nil when it is empty.
func (db *database) lastKey(ctx context.Context, t table) (key []any, err error) {
	for row, err := range db.query(ctx, t.lastKeySQL()) {
		if err != nil {
			return nil, fmt.Errorf("read the last key of %s: %w", t.name, err)
		}
		key = row
	}
	return key, nil
}

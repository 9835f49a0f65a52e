// Package migrations holds the SQL of every service's database, for both
// dialects, embedded so that a binary carries the schema it was built for. It
// owns the files and their layout; running them is the business of
// shared/storage/migrate.
//
// A service's two directories hold files of the same names: version N is the
// same schema in either database.
package migrations

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// The services that own a database.
const (
	Registry  = "registry"
	Catalog   = "catalog"
	Scheduler = "scheduler"
	Queue     = "queue"
)

// The dialects that each service's schema is written in.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// Services and Dialects list the two halves of a directory's name.
var (
	Services = []string{Registry, Catalog, Scheduler, Queue}
	Dialects = []string{SQLite, Postgres}
)

//go:embed */*/*.sql
var files embed.FS

// FS returns the migrations of one service in one dialect.
func FS(service, dialect string) (fs.FS, error) {
	dir := path.Join(service, dialect)
	if _, err := fs.ReadDir(files, dir); err != nil {
		return nil, fmt.Errorf("no migrations for service %q in dialect %q", service, dialect)
	}
	return fs.Sub(files, dir)
}

// Version returns the schema version that this binary was built for: the
// highest number among a service's files.
func Version(service, dialect string) (int64, error) {
	list, err := List(service, dialect)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	return list[len(list)-1].Version, nil
}

// Migration is one file.
type Migration struct {
	Version int64
	Name    string // of the file, without number and ending
	// Contract is 0 for a migration that the version before serves on with. Of
	// one that takes something away, it is the least schema version that a
	// binary must know to go on.
	Contract int64
}

// List returns the migrations of one service in one dialect, in order.
func List(service, dialect string) ([]Migration, error) {
	dir, err := FS(service, dialect)
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(dir, "*.sql") // sorted
	if err != nil {
		return nil, fmt.Errorf("list migrations of %s/%s: %w", service, dialect, err)
	}
	var list []Migration
	for _, name := range names {
		number, rest, _ := strings.Cut(strings.TrimSuffix(name, ".sql"), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s/%s/%s: the name does not begin with a number", service, dialect, name)
		}
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("read migration %s/%s/%s: %w", service, dialect, name, err)
		}
		contract, err := ContractOf(string(text))
		if err != nil {
			return nil, fmt.Errorf("migration %s/%s/%s: %w", service, dialect, name, err)
		}
		list = append(list, Migration{Version: version, Name: rest, Contract: contract})
	}
	return list, nil
}

// contractMark begins the line of a migration that takes something away.
const contractMark = "-- contract: needs "

// ContractOf reads the mark of a contract migration, a line of its own that
// names the least schema version that binaries must know once it is applied:
//
//	-- contract: needs 00004
//
// It is 0 for a file without the mark.
func ContractOf(text string) (int64, error) {
	for line := range strings.Lines(text) {
		number, found := strings.CutPrefix(strings.TrimRight(line, " \r\n"), contractMark)
		if !found {
			continue
		}
		needs, err := strconv.ParseInt(number, 10, 64)
		if err != nil || needs < 1 {
			return 0, fmt.Errorf("the line %q names no schema version", strings.TrimSpace(line))
		}
		return needs, nil
	}
	return 0, nil
}

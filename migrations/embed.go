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
	dir, err := FS(service, dialect)
	if err != nil {
		return 0, err
	}
	names, err := fs.Glob(dir, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("list migrations of %s/%s: %w", service, dialect, err)
	}
	var highest int64
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("migration %s/%s/%s: the name does not begin with a number", service, dialect, name)
		}
		highest = max(highest, version)
	}
	return highest, nil
}

package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
	"github.com/pocketflowgo/pocketflow/shared/storage/sqlite"
)

// The refusals that a caller may act on.
var (
	ErrExists   = errors.New("the target directory is not empty")
	ErrPostgres = errors.New("a Postgres database is backed up by pg_dump")
)

// Params are what Take works on.
type Params struct {
	From []migrate.Target // SQLite databases, of a suite that may be running
	// To is the directory that is made, with <service>.db for each.
	To string
	// Tell hears how far the work is; it may be nil.
	Tell func(Progress)
}

// Progress is how far the copy of one database is.
type Progress struct {
	Service     string
	Done, Total int64 // bytes
}

// Report tells what was copied.
type Report struct {
	// At is the moment that all copies show.
	At time.Time
	// Held is for how long the services could not write.
	Held      time.Duration
	Databases []Database
}

// Database is one copy.
type Database struct {
	Service string
	Path    string
	Bytes   int64
	Version int64 // of its schema
}

// Take copies the databases, reads every copy in full, and makes the directory
// when all are good: it is there with all of them, or not at all. ErrExists when
// there is something in the directory already, ErrPostgres for a database that
// is no file.
func Take(ctx context.Context, p Params) (_ Report, err error) {
	fail := func(err error) (Report, error) { return Report{}, fmt.Errorf("back up: %w", err) }
	paths, err := p.paths()
	if err != nil {
		return fail(err)
	}
	if err := vacant(p.To); err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Dir(p.To), 0o750); err != nil {
		return fail(fmt.Errorf("make the directory for the backup: %w", err))
	}
	// Beside the target, so that it gets its name in one step; and private, since
	// it holds what tasks hold.
	unfinished, err := os.MkdirTemp(filepath.Dir(p.To), "."+filepath.Base(p.To)+".unfinished-*")
	if err != nil {
		return fail(fmt.Errorf("make the directory for the backup: %w", err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(unfinished))
		}
	}()
	report, err := p.copyAll(ctx, paths, unfinished)
	if err != nil {
		return fail(err)
	}
	if err := p.publish(unfinished); err != nil {
		return fail(err)
	}
	return report, nil
}

// paths are the files of the databases, which all exist.
func (p Params) paths() ([]string, error) {
	var paths []string
	for _, from := range p.From {
		name, err := dsn.Parse(from.DSN)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", from.Service, err)
		}
		if name.Dialect != migrations.SQLite {
			return nil, fmt.Errorf("%s: %w", from.Service, ErrPostgres)
		}
		if _, err := os.Stat(name.Path); err != nil {
			return nil, fmt.Errorf("%s: there is no database: %w", from.Service, err)
		}
		paths = append(paths, name.Path)
	}
	return paths, nil
}

// vacant refuses a target that would be written over.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at the target directory: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("%w: %s", ErrExists, dir)
	}
	return nil
}

func (p Params) copyAll(ctx context.Context, paths []string, dir string) (Report, error) {
	report, err := p.copyFrozen(ctx, paths, dir)
	if err != nil {
		return Report{}, err
	}
	for i := range report.Databases {
		if err := report.Databases[i].check(ctx, dir); err != nil {
			return Report{}, err
		}
	}
	return report, nil
}

// copyFrozen lets the files go before the copies are checked, which takes a
// while: their WALs grow until then.
func (p Params) copyFrozen(ctx context.Context, paths []string, dir string) (_ Report, err error) {
	frozen, err := sqlite.Freeze(ctx, paths)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, frozen.Close()) }()
	report := Report{At: frozen.At.UTC(), Held: frozen.Held}
	for i, from := range p.From {
		name := from.Service + ".db"
		if err := p.copyOne(ctx, from.Service, frozen.Files[i], filepath.Join(dir, name)); err != nil {
			return Report{}, err
		}
		report.Databases = append(report.Databases, Database{Service: from.Service, Path: filepath.Join(p.To, name)})
	}
	return report, nil
}

func (p Params) copyOne(ctx context.Context, service string, file *sqlite.FrozenFile, path string) error {
	tell := func(done, total int64) {
		if p.Tell != nil {
			p.Tell(Progress{Service: service, Done: done, Total: total})
		}
	}
	if err := file.CopyTo(ctx, path, tell); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	return sync(path)
}

// check reads the copy, while it lies in dir, and fills in what it is.
func (d *Database) check(ctx context.Context, dir string) error {
	path := filepath.Join(dir, filepath.Base(d.Path))
	if err := sqlite.Check(ctx, path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	status, err := migrate.Read(ctx, migrate.Target{Service: d.Service, DSN: "sqlite://" + path})
	if err != nil {
		return err
	}
	d.Bytes, d.Version = info.Size(), status.Database
	return nil
}

// publish gives the finished directory its name, for good.
func (p Params) publish(unfinished string) error {
	if err := sync(unfinished); err != nil {
		return err
	}
	// An empty directory is no backup; os.Rename would refuse it.
	if err := os.Remove(p.To); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make place for the backup: %w", err)
	}
	if err := os.Rename(unfinished, p.To); err != nil {
		return fmt.Errorf("name the backup: %w", err)
	}
	return sync(filepath.Dir(p.To))
}

// sync makes a file, or the names in a directory, durable.
func sync(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", path, err), file.Close())
	}
	return file.Close()
}

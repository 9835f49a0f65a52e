package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/pocketflowgo/pocketflow/shared/pause"
)

const (
	// freezePatience bounds how long the writers of the other files wait while one
	// file's writer is in a commit. It is well below their own patience, the
	// busy_timeout of source.
	freezePatience = 500 * time.Millisecond
	// freezeTries is how often all files are tried for, with freezePause between
	// two tries, in which the writers have their turn.
	freezeTries = 20
	freezePause = 250 * time.Millisecond
	// freezeGlance is the time between two looks for a gap between two commits.
	// SQLite's own waits grow, and would miss the gaps of a busy writer.
	freezeGlance = 200 * time.Microsecond
)

// Frozen is a set of database files as they were at one moment. Others go on
// writing to the files.
type Frozen struct {
	At time.Time
	// Held is for how long nobody could write.
	Held  time.Duration
	Files []*FrozenFile // in the order of the paths
}

// Freeze reads files that exist at one moment: no commit of one is missing that
// a commit of another in it came after. For that it keeps all writers waiting
// at once, for as long as it takes to note where each file stands. A file is in
// WAL mode while it is served from, so that is a few milliseconds, and reading
// what was noted is in no writer's way; but no WAL starts over before Close.
func Freeze(ctx context.Context, paths []string) (*Frozen, error) {
	frozen := &Frozen{}
	for _, path := range paths {
		file, err := openFrozen(ctx, path)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), frozen.Close())
		}
		frozen.Files = append(frozen.Files, file)
	}
	var err error
	for range freezeTries {
		if err = frozen.freeze(ctx); !busy(err) || !pause.For(ctx, freezePause) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keep all writers waiting: %w", err), frozen.Close())
	}
	return frozen, nil
}

// freeze is one try. On an error no writer waits any more.
func (f *Frozen) freeze(ctx context.Context) (err error) {
	begun := time.Now()
	for i, file := range f.Files {
		if err = file.hold(ctx); err != nil {
			err = fmt.Errorf("%s: %w", file.path, err)
			f.release(ctx, f.Files[:i], &err)
			return err
		}
	}
	f.At = time.Now()
	for _, file := range f.Files {
		if err = file.note(ctx); err != nil {
			err = fmt.Errorf("%s: %w", file.path, err)
			break
		}
	}
	f.release(ctx, f.Files, &err)
	f.Held = time.Since(begun)
	return err
}

// release lets the writers of files go on, also when ctx has ended.
func (f *Frozen) release(ctx context.Context, held []*FrozenFile, err *error) {
	ctx = context.WithoutCancel(ctx)
	for _, file := range held {
		if _, rollbackErr := file.writes.ExecContext(ctx, "ROLLBACK"); rollbackErr != nil {
			*err = errors.Join(*err, fmt.Errorf("%s: let the writer go on: %w", file.path, rollbackErr))
		}
	}
}

// Close lets the files go.
func (f *Frozen) Close() error {
	var errs []error
	for _, file := range f.Files {
		errs = append(errs, file.close())
	}
	return errors.Join(errs...)
}

// FrozenFile is one of the files of a Frozen.
type FrozenFile struct {
	path   string
	dbs    []*sql.DB
	writes *sql.Conn // keeps the file's writer waiting
	reads  *sql.Conn // sees the file as it was then, in a transaction
}

func openFrozen(ctx context.Context, path string) (_ *FrozenFile, err error) {
	file := &FrozenFile{path: path}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.close())
		}
	}()
	if file.writes, err = file.connect(ctx, url.Values{"mode": {"rw"}, "_pragma": {"busy_timeout(0)"}}); err != nil {
		return nil, err
	}
	file.reads, err = file.connect(ctx, url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "query_only(1)"}})
	return file, err
}

func (f *FrozenFile) connect(ctx context.Context, query url.Values) (*sql.Conn, error) {
	db, err := sql.Open("sqlite", fileURI(f.path, query))
	if err != nil {
		return nil, err
	}
	f.dbs = append(f.dbs, db)
	return db.Conn(ctx)
}

// hold takes the file's write lock in a gap between two commits.
func (f *FrozenFile) hold(ctx context.Context) error {
	deadline := time.Now().Add(freezePatience)
	for {
		_, err := f.writes.ExecContext(ctx, "BEGIN IMMEDIATE")
		if !busy(err) || time.Now().After(deadline) || !pause.For(ctx, freezeGlance) {
			return err
		}
	}
}

// note begins to read. A transaction sees the file as at its first read.
func (f *FrozenFile) note(ctx context.Context) error {
	if _, err := f.reads.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	var tables int
	return f.reads.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_master").Scan(&tables)
}

func (f *FrozenFile) close() error {
	var errs []error
	for _, conn := range []*sql.Conn{f.reads, f.writes} {
		if conn != nil {
			errs = append(errs, conn.Close())
		}
	}
	for _, db := range f.dbs {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}

// copyPages is how many pages are copied between two looks at the context, 8 MB.
const copyPages = 2000

// CopyTo writes the file as it was into a new file, page by page. tell hears how
// many bytes of how many are there. What is written is durable only when the
// caller has synced it.
func (f *FrozenFile) CopyTo(ctx context.Context, path string, tell func(done, total int64)) error {
	var pageSize int64
	if err := f.reads.QueryRowContext(ctx, "PRAGMA page_size").Scan(&pageSize); err != nil {
		return fmt.Errorf("read the page size of %s: %w", f.path, err)
	}
	// Nobody else has the new file, and half of it is worth nothing.
	to := fileURI(path, url.Values{"_pragma": {"journal_mode(OFF)", "synchronous(OFF)"}})
	err := f.reads.Raw(func(conn any) (err error) {
		copying, err := conn.(backuper).NewBackup(to)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, copying.Finish()) }()
		for more := true; more; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if more, err = copying.Step(copyPages); err != nil {
				return err
			}
			total := int64(copying.PageCount())
			tell((total-int64(copying.Remaining()))*pageSize, total*pageSize)
		}
		return nil
	})
	if err == nil {
		err = alone(ctx, path)
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", f.path, err)
	}
	return nil
}

// backuper is the driver's connection.
type backuper interface {
	NewBackup(uri string) (*modernc.Backup, error)
}

// alone makes a copy a file by itself. It is marked as one with a WAL, as the
// original is, and would then not open where nothing can be written beside it.
func alone(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite", fileURI(path, url.Values{"mode": {"rw"}}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, "PRAGMA journal_mode = DELETE")
	return err
}

// Check reads a file that nobody writes to in full, and is an error when it is
// damaged.
func Check(ctx context.Context, path string) (err error) {
	db, err := OpenToRead(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%s is damaged: %s", path, verdict)
	}
	return nil
}

// busy tells that another has the file's lock at the moment.
func busy(err error) bool {
	var sqliteErr *modernc.Error
	return errors.As(err, &sqliteErr) && sqliteErr.Code()&0xff == sqlite3.SQLITE_BUSY
}

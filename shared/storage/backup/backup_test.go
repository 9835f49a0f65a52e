package backup_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/backup"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

// sources are the databases of a suite in a fresh directory.
func sources(t *testing.T) []migrate.Target {
	t.Helper()
	dir := t.TempDir()
	var all []migrate.Target
	for _, service := range migrations.Services {
		target := migrate.Target{Service: service, DSN: filepath.Join(dir, service+".db")}
		_, err := migrate.Up(t.Context(), target)
		require.NoError(t, err)
		all = append(all, target)
	}
	return all
}

// open opens a database for writing as a service does, but for the flush of each
// commit: so much more happens in a moment.
func open(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func number(t *testing.T, path string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT n FROM told").Scan(&n))
	return n
}

// Each database is told of what the one before it has committed, round and
// round. Copies of different moments would not go down by steps of one.
func TestTake_ShowsAllDatabasesAtOneMoment(t *testing.T) {
	t.Parallel()
	from := sources(t)
	var dbs []*sql.DB
	for _, one := range from {
		db := open(t, one.DSN)
		_, err := db.ExecContext(t.Context(), "CREATE TABLE told (n INTEGER NOT NULL, filler TEXT); INSERT INTO told VALUES (0, hex(randomblob(500000)))")
		require.NoError(t, err)
		dbs = append(dbs, db)
	}
	ctx, stop := context.WithCancel(t.Context())
	var written atomic.Int64
	var writing errgroup.Group
	writing.Go(func() error {
		for n := 1; ctx.Err() == nil; n++ {
			for _, db := range dbs {
				if _, err := db.Exec("UPDATE told SET n = ?", n); err != nil { //nolint:noctx // a write under way is finished
					return err
				}
			}
			written.Store(int64(n))
		}
		return nil
	})
	rounds := 20
	if testing.Short() {
		rounds = 6
	}
	for range rounds {
		to := filepath.Join(t.TempDir(), "backup")
		report, err := backup.Take(t.Context(), backup.Params{From: from, To: to})
		require.NoError(t, err)
		var seen []int
		for _, one := range report.Databases {
			seen = append(seen, number(t, one.Path))
		}
		for i := 1; i < len(seen); i++ {
			require.Contains(t, []int{seen[0], seen[0] - 1}, seen[i], "%v", seen)
			require.LessOrEqual(t, seen[i], seen[i-1], "%v", seen)
		}
		require.Eventually(t, func() bool { return int(written.Load()) > seen[0] }, time.Minute, time.Millisecond, "the writer goes on")
	}
	stop()
	require.NoError(t, writing.Wait())
}

func TestTake_MakesFilesThatServicesOpen(t *testing.T) {
	t.Parallel()
	from := sources(t)
	served, err := connect.Queue(t.Context(), from[3].DSN, connect.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, served.Close()) })

	to := filepath.Join(t.TempDir(), "made", "backup")
	var told []backup.Progress
	report, err := backup.Take(t.Context(), backup.Params{From: from, To: to, Tell: func(p backup.Progress) { told = append(told, p) }})
	require.NoError(t, err)
	require.Len(t, report.Databases, len(migrations.Services))
	require.False(t, report.At.IsZero())
	require.Positive(t, report.Held)
	for i, one := range report.Databases {
		expected, err := migrations.Version(one.Service, migrations.SQLite)
		require.NoError(t, err)
		require.Equal(t, migrations.Services[i], one.Service)
		require.Equal(t, expected, one.Version)
		require.FileExists(t, one.Path)
		require.Positive(t, one.Bytes)
		require.Contains(t, told, backup.Progress{Service: one.Service, Done: one.Bytes, Total: one.Bytes})
	}
	entries, err := os.ReadDir(to)
	require.NoError(t, err)
	require.Len(t, entries, len(migrations.Services), "the files and nothing beside them")
	info, err := os.Stat(to)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	restored, err := connect.Queue(t.Context(), filepath.Join(to, "queue.db"), connect.Options{})
	require.NoError(t, err)
	require.NoError(t, restored.Ready(t.Context()))
	require.NoError(t, restored.Close())
}

func TestTake_RefusesWithoutATrace(t *testing.T) {
	t.Parallel()
	from := sources(t)
	full := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(full, "queue.db"), nil, 0o600))
	damaged := filepath.Join(t.TempDir(), "scheduler.db")
	data, err := os.ReadFile(from[2].DSN)
	require.NoError(t, err)
	for i := 8192; i < len(data); i++ {
		data[i] ^= 0xff
	}
	require.NoError(t, os.WriteFile(damaged, data, 0o600))
	ended, end := context.WithCancel(t.Context())
	end()

	for name, test := range map[string]struct {
		ctx  context.Context //nolint:containedctx // a test's row
		from []migrate.Target
		to   string
		want error
		says string
	}{
		"a directory with something in it": {t.Context(), from, full, backup.ErrExists, "not empty"},
		"a Postgres database":              {t.Context(), []migrate.Target{{Service: "queue", DSN: "postgres://host/db"}}, "", backup.ErrPostgres, "queue"},
		"a file that is not there":         {t.Context(), []migrate.Target{{Service: "queue", DSN: "/nowhere/queue.db"}}, "", os.ErrNotExist, "there is no database"},
		"a damaged file":                   {t.Context(), []migrate.Target{{Service: "scheduler", DSN: damaged}}, "", nil, "malformed"},
		"when it is told to stop":          {ended, from, "", context.Canceled, "back up"},
	} {
		parent := t.TempDir()
		to := test.to
		if to == "" {
			to = filepath.Join(parent, "backup")
		}
		_, err := backup.Take(test.ctx, backup.Params{From: test.from, To: to})
		require.ErrorContains(t, err, test.says, name)
		if test.want != nil {
			require.ErrorIs(t, err, test.want, name)
		}
		entries, err := os.ReadDir(parent)
		require.NoError(t, err)
		require.Empty(t, entries, name)
	}
}

package connect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
	"github.com/pocketflowgo/pocketflow/shared/storage/postgres"
	"github.com/pocketflowgo/pocketflow/shared/storage/sqlite"
	"github.com/pocketflowgo/pocketflow/shared/storage/storagetest"
)

const (
	// recordVariable names the directory to record into.
	recordVariable = "POCKETFLOW_RECORD_STATEMENTS"
	// serverVariable names a PostgreSQL server.
	serverVariable = "POCKETFLOW_TEST_POSTGRES_URL"
)

// TestRecordStatements writes down what this version says to its databases, for
// the versions after it: tests/conformance says the same to a database that
// they have migrated. It runs the suite of each role and keeps, of the stores
// that it opened, as few as say everything. Record before a migration is added
// (make record-statements); nothing is recorded without being asked for.
func TestRecordStatements(t *testing.T) {
	t.Parallel()
	dir := os.Getenv(recordVariable)
	if dir == "" {
		t.Skip(recordVariable + " is not set")
	}
	for _, dialect := range migrations.Dialects {
		for _, service := range migrations.Services {
			log := &journals{}
			t.Run(dialect+"/"+service, func(t *testing.T) { runSuite(t, service, dialect, log) })
			version, err := migrations.Version(service, dialect)
			require.NoError(t, err)
			file := filepath.Join(dir, service, dialect, fmt.Sprintf("%05d.json", version))
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
			require.NoError(t, os.WriteFile(file, log.fewest(), 0o600))
		}
	}
}

func runSuite(t *testing.T, service, dialect string, log *journals) {
	t.Helper()
	open := func(t *testing.T) *sqlstore.DB {
		t.Helper()
		driver := openRecorded(t, service, dialect)
		db, err := sqlstore.New(recorder{driver, log.add()}, service)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return db
	}
	switch service {
	case migrations.Registry:
		storagetest.RunWorkers(t, func(t *testing.T) storage.Workers { return sqlstore.NewWorkers(open(t)) })
	case migrations.Catalog:
		storagetest.RunFlows(t, func(t *testing.T) storage.Flows { return sqlstore.NewFlows(open(t)) })
	case migrations.Scheduler:
		storagetest.RunTasks(t, func(t *testing.T) storage.Tasks { return sqlstore.NewTasks(open(t)) })
	case migrations.Queue:
		storagetest.RunQueue(t, func(t *testing.T) storage.Queue { return sqlstore.NewQueue(open(t)) })
	}
}

func openRecorded(t *testing.T, service, dialect string) sqlstore.Driver {
	t.Helper()
	source := "sqlite://" + filepath.Join(t.TempDir(), "role.db")
	if dialect == migrations.Postgres {
		source = newDatabase(t)
	}
	_, err := migrate.Up(t.Context(), migrate.Target{Service: service, DSN: source})
	require.NoError(t, err)
	name, err := dsn.Parse(source)
	require.NoError(t, err)
	var driver sqlstore.Driver
	if dialect == migrations.Postgres {
		driver, err = postgres.Open(t.Context(), postgres.Config{DSN: name, Schema: service, MaxConns: 4})
	} else {
		driver, err = sqlite.Open(t.Context(), sqlite.Config{Path: name.Path})
	}
	require.NoError(t, err)
	return driver
}

var databases = struct {
	sync.Mutex
	count int
}{}

func newDatabase(t *testing.T) string {
	t.Helper()
	server, err := url.Parse(os.Getenv(serverVariable))
	require.NoError(t, err)
	databases.Lock() // CREATE DATABASE copies a template that has one user at a time
	defer databases.Unlock()
	databases.count++
	name := fmt.Sprintf("recorded_%d_%d", os.Getpid(), databases.count)
	conn, err := pgx.Connect(t.Context(), server.String())
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	server.Path = "/" + name
	return server.String()
}

// journals are what was said to each store.
type journals struct {
	mu  sync.Mutex
	all []*journal
}

func (j *journals) add() *journal {
	j.mu.Lock()
	defer j.mu.Unlock()
	one := &journal{}
	j.all = append(j.all, one)
	return one
}

// journal is what was said to one store, a line each.
type journal struct {
	mu    sync.Mutex
	texts map[string]bool
	lines [][]byte
	bytes int
}

// said is one statement, as tests/conformance reads it.
type said struct {
	SQL  string `json:"sql"`
	Args []any  `json:"args,omitempty"`
	Rows bool   `json:"rows,omitempty"` // it has a result
}

// groups are the rows of a VALUES list, of which there are as many as come
// together.
var groups = regexp.MustCompile(`(\([^()]*\$[^()]*\)(::\w+)?,?\s*)+|\$\d+`)

// longest is how many lines a journal has before it leaves out what it has said
// before: some tests say the same thousands of times.
const longest = 200

func (j *journal) add(batch *sqlstore.Batch) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.texts == nil {
		j.texts = map[string]bool{}
	}
	for _, s := range batch.Statements {
		line, err := json.Marshal(said{SQL: s.SQL, Args: s.Args, Rows: s.Row != nil})
		if err != nil {
			line = []byte(`{"sql": "cannot be recorded"}`)
		}
		text := groups.ReplaceAllString(s.SQL, "$$")
		if len(j.lines) >= longest && j.texts[text] {
			continue
		}
		j.texts[text] = true
		j.lines = append(j.lines, line)
		j.bytes += len(line)
	}
}

// fewest is the journals that say everything, chosen for being short.
func (j *journals) fewest() []byte {
	covered := map[string]bool{}
	var out bytes.Buffer
	for {
		var best *journal
		var bestGain float64
		for _, one := range j.all {
			fresh := 0
			for text := range one.texts {
				if !covered[text] {
					fresh++
				}
			}
			if gain := float64(fresh) / float64(one.bytes+1000); fresh > 0 && gain > bestGain {
				best, bestGain = one, gain
			}
		}
		if best == nil {
			return append([]byte("["), append(bytes.TrimPrefix(out.Bytes(), []byte(",")), "\n]\n"...)...)
		}
		for text := range best.texts {
			covered[text] = true
		}
		out.WriteString(",\n[\n")
		out.Write(bytes.Join(best.lines, []byte(",\n")))
		out.WriteString("\n]")
	}
}

// recorder is a driver that writes down what it is told.
type recorder struct {
	sqlstore.Driver
	log *journal
}

func (r recorder) Run(ctx context.Context, batch *sqlstore.Batch) error {
	r.log.add(batch)
	return r.Driver.Run(ctx, batch)
}

func (r recorder) Write(ctx context.Context, closure func(context.Context, sqlstore.Tx) error) error {
	return r.Driver.Write(ctx, func(ctx context.Context, tx sqlstore.Tx) error {
		return closure(ctx, recordedTx{tx, r.log})
	})
}

type recordedTx struct {
	sqlstore.Tx
	log *journal
}

func (r recordedTx) Run(ctx context.Context, batch *sqlstore.Batch) error {
	r.log.add(batch)
	return r.Tx.Run(ctx, batch)
}

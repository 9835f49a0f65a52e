//go:build linux

package bench

import (
	"bufio"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// setup names a kind of system.
type setup string

const (
	floorSQLite   setup = "floor, SQLite"
	floorPostgres setup = "floor, Postgres"
	allInOne      setup = "all-in-one, SQLite"
	fiveSQLite    setup = "five processes, SQLite"
	fivePostgres  setup = "five processes, Postgres"
)

// system is something that tasks can be given to: the suite or a floor, with a
// worker of its own.
type system struct {
	setup   setup
	against setup // that its figures are held against; "" for its floor
	url     string
	servers []*suitetest.Server
	admins  []adminAddr // of the processes that are to be profiled
	client  *suitetest.Client
	queue   *queueapi.Client
	account *account
	data    string // directory of SQLite files
	// tasksDSN is the database of the schedulers, where they are processes of
	// their own.
	tasksDSN string
	// wal is how many bytes the system's Postgres has logged; nil without one.
	wal func() int64

	dismissed func() // ends the heartbeats of the worker
	versions  atomic.Int64
}

// dismiss takes the worker out.
func (s *system) dismiss(b *testing.B) {
	b.Helper()
	s.dismissed()
	require.NoError(b, s.client.Workers.Deregister(b.Context(), "bench"))
}

// workload is a flow as both kinds of system know it.
type workload struct {
	floor      string // what the floor knows it by
	definition string
	effects    int    // of workers, for each task
	end        string // status that a task comes to
}

// steps is the flow that most works are measured with.
var steps = workload{floor: "steps-3", effects: 3, end: "completed", definition: `{
  "start": "s1",
  "nodes": {
    "s1": {"kind": "executor", "service": "bench", "prep": {"input_key": "$params.n"}, "post": {"output_key": "s1"}},
    "s2": {"kind": "executor", "service": "bench", "prep": {"input_key": "s1"}, "post": {"output_key": "s2"}},
    "s3": {"kind": "executor", "service": "bench", "prep": {"input_key": "s2"}, "post": {"output_key": "s3"}}
  },
  "edges": [{"from": "s1", "to": "s2"}, {"from": "s2", "to": "s3"}]
}`}

func newSystem(b *testing.B, kind setup) *system {
	b.Helper()
	s := &system{setup: kind, account: &account{tasks: map[string]*effects{}}, data: b.TempDir()}
	b.Cleanup(func() { // last, when the servers have ended
		if !b.Failed() {
			require.Empty(b, s.account.tasks, "%s: effects of tasks that had ended", s.setup)
		}
	})
	return s
}

// connect finishes a system whose servers run.
func (s *system) connect(b *testing.B, url string) {
	b.Helper()
	s.url = url
	s.client = suitetest.Connect(b, url)
	hc := httpx.NewHTTPClient()
	b.Cleanup(hc.CloseIdleConnections)
	var err error
	s.queue, err = queueapi.NewClient(url, hc)
	require.NoError(b, err)
}

func (s *system) isFloor() bool { return strings.HasPrefix(string(s.setup), "floor") }

// start starts systems, one for each kind.
func start(b *testing.B, kinds ...setup) []*system {
	b.Helper()
	all := make([]*system, len(kinds))
	for i, kind := range kinds {
		all[i] = startOne(b, kind)
	}
	return all
}

// named has a system shown under a name of its own, such as one in another
// state.
func (s *system) named(name, against setup) *system {
	s.setup, s.against = name, against
	return s
}

func startOne(b *testing.B, kind setup) *system {
	b.Helper()
	if kind == allInOne {
		return startAllInOne(b)
	}
	if kind == fiveSQLite || kind == fivePostgres {
		return startFive(b, kind)
	}
	return startFloor(b, kind)
}

// buildFloor builds the floor for the benchmarks that share its owner.
func buildFloor(b *testing.B) suitetest.Program {
	b.Helper()
	path := filepath.Join(b.TempDir(), "floor")
	build := exec.CommandContext(b.Context(), "go", "build", "-buildvcs=false", "-o", path, "./floor")
	told, err := build.CombinedOutput()
	require.NoError(b, err, "build the floor: %s", told)
	return suitetest.Program(path)
}

func startFloor(b *testing.B, kind setup) *system {
	b.Helper()
	s := newSystem(b, kind)
	dsn := filepath.Join(s.data, "floor.db")
	if kind == floorPostgres {
		dsn = durable(b, s)
	}
	server := s.serve(b, suitetest.Addr(b), suitetest.Command{Program: buildFloor(b), Args: []string{
		"--db=" + dsn, "--worker=" + pushWorker(b, s.account),
	}})
	s.connect(b, server.URL)
	return s
}

// quiet is the environment of all processes: a line for each request would be
// as much work as the request.
var quiet = []string{"LOG_LEVEL=warn"}

func startAllInOne(b *testing.B) *system {
	b.Helper()
	s := newSystem(b, allInOne)
	server := s.serve(b, suitetest.Addr(b), suitetest.Command{
		Program: suitetest.PocketFlow, Args: []string{"serve", "--data=" + s.data}, Env: quiet,
	})
	s.connect(b, server.URL)
	s.dismissed = register(b, s.client, pushWorker(b, s.account))
	return s
}

func startFive(b *testing.B, kind setup) *system {
	b.Helper()
	tasks := suitetest.Addr(b)
	return startServices(b, kind, []string{tasks}, "http://"+tasks)
}

// startServices starts the services as processes of their own, with schedulers
// at these addresses, which all others reach at one URL.
func startServices(b *testing.B, kind setup, schedulers []string, scheduler string) *system {
	b.Helper()
	s := newSystem(b, kind)
	dsn := func(role string) string { return filepath.Join(s.data, role+".db") }
	if kind == fivePostgres {
		dsn = func(role string) string { return migrated(b, s, role) }
	}
	serve := func(addr string, program suitetest.Program, args ...string) string {
		return s.serve(b, addr, suitetest.Command{Program: program, Args: args, Env: quiet}).URL
	}
	s.tasksDSN = dsn("scheduler")
	registry := serve(suitetest.Addr(b), suitetest.Registry, "--db="+dsn("registry"))
	catalog := serve(suitetest.Addr(b), suitetest.Catalog, "--db="+dsn("catalog"))
	queue := serve(suitetest.Addr(b), suitetest.Queue, "--db="+dsn("queue"), "--scheduler-url="+scheduler)
	for _, addr := range schedulers {
		serve(addr, suitetest.Scheduler, "--db="+s.tasksDSN,
			"--registry-url="+registry, "--catalog-url="+catalog, "--queue-url="+queue)
	}
	s.connect(b, serve(suitetest.Addr(b), suitetest.Gateway,
		"--registry-url="+registry, "--catalog-url="+catalog, "--scheduler-url="+scheduler, "--queue-url="+queue))
	s.dismissed = register(b, s.client, pushWorker(b, s.account))
	return s
}

// version is a flow version of this workload that no other measurement uses, so
// that a count of its tasks is that of this measurement.
func (s *system) version(b *testing.B, w workload) string {
	b.Helper()
	n := s.versions.Add(1)
	if s.isFloor() {
		return fmt.Sprintf("%s#%d", w.floor, n)
	}
	return s.client.Publish(b, fmt.Sprintf("%s-%d", w.floor, n), w.definition)
}

// usage is what a system has used: all its processes together, without its
// Postgres.
type usage struct {
	cpu             time.Duration
	clients         time.Duration // processor time of this process: clients and workers
	peak            int64         // the sum of peaks
	written         int64         // to the disk; with Postgres the bytes of its log
	commits, writes float64
}

func (s *system) usage(b *testing.B) usage {
	b.Helper()
	var u usage
	for _, server := range s.servers {
		of := server.Usage(b)
		u.cpu += of.CPU
		u.peak += of.Peak
		u.written += of.Written
		commits, writes := commitsOf(b, server.URL)
		u.commits += commits
		u.writes += writes
	}
	if s.wal != nil {
		u.written += s.wal()
	}
	var own syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &own))
	u.clients = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	return u
}

func (s *system) forgetPeak(b *testing.B) {
	b.Helper()
	for _, server := range s.servers {
		server.ForgetPeak(b)
	}
}

// since is what was used from one moment to the other.
func (u usage) since(before usage) usage {
	return usage{
		cpu: u.cpu - before.cpu, clients: u.clients - before.clients, peak: u.peak, written: u.written - before.written,
		commits: u.commits - before.commits, writes: u.writes - before.writes,
	}
}

// and is what was used in two spans of time.
func (u usage) and(other usage) usage {
	return usage{
		cpu: u.cpu + other.cpu, clients: u.clients + other.clients, peak: max(u.peak, other.peak), written: u.written + other.written,
		commits: u.commits + other.commits, writes: u.writes + other.writes,
	}
}

// commitsOf reads from a process's metrics how many transactions it has
// committed, and how many writes shared them.
func commitsOf(b *testing.B, url string) (commits, writes float64) {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url+"/metrics", http.NoBody)
	require.NoError(b, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(b, err)
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		var sum *float64
		switch name {
		case "pocketflow_storage_commit_duration_seconds_count":
			sum = &commits
		case "pocketflow_storage_commit_writes_sum":
			sum = &writes
		default:
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		require.NoError(b, err)
		*sum += n
	}
	return commits, writes
}

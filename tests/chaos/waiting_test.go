//go:build linux

package chaos

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	waitingTasks      = 10000
	shortWaitingTasks = 1000
	// idleWindow is how long a server is watched that has nothing to do: some
	// rounds of everything that it does every second.
	idleWindow = 2 * time.Second
	// idleShare is the part of one processor that an idle server may use. What
	// it does use is far below; a loop over the waiting tasks is far above.
	idleShare = 0.05
)

// waits are the nodes at which a task may wait for as long as it takes, each
// with the signal that ends its wait, if there is one.
func waits() []wait {
	return []wait{
		{name: "timer", definition: `{"start": "w", "nodes": {"w": {"kind": "timer", "delay_ms": "$params.delay"}}}`},
		{name: "event", definition: `{"start": "w", "nodes": {"w": {"kind": "wait_event", "signal_key": "go"}}}`, key: "go"},
		{name: "approval", definition: `{"start": "w", "nodes": {"w": {"kind": "approval", "approval_key": "go"}}}`, key: "go"},
	}
}

type wait struct {
	name, definition string
	key              string // "" when no signal ends it
}

// It runs before the parallel tests, as it measures.
func TestWaitingTasks_CostNothing(t *testing.T) { //nolint:paralleltest // see above
	for _, d := range drivers {
		// Without a worker: heartbeats are written, and are not what is asked about.
		t.Run(string(d), func(t *testing.T) { letWait(t, d.serve(t)) })
	}
}

func letWait(t *testing.T, server suite) {
	t.Helper()
	client := suitetest.Connect(t, server.URL)
	fast := client.Publish(t, "fast", `{"start": "only", "nodes": {"only": {
		"kind": "executor", "exec_type": "local_func", "func": "upper", "post": {"output_key": "result"}}}}`)
	versions := map[string]string{} // by wait
	for _, w := range waits() {
		versions[w.name] = client.Publish(t, w.name, w.definition)
	}
	alone := median(t, client, fast)
	emptyCPU, _ := watch(t, server)

	all := waitingTasks
	if testing.Short() {
		all = shortWaitingTasks
	}
	each := all/len(waits()) + 1
	begin := time.Now()
	for _, w := range waits() {
		createMany(t, client, versions[w.name], each)
	}
	for _, version := range versions {
		awaitCount(t, client, version, "waiting", each)
	}
	t.Logf("%d tasks wait, created in %v", each*len(waits()), time.Since(begin).Round(time.Millisecond))

	cpu, changed := watch(t, server)
	t.Logf("processor time in %v: %v with nothing there, %v with %d tasks that wait", idleWindow, emptyCPU, cpu, each*len(waits()))
	require.Empty(t, changed, "files written while all tasks wait")
	require.Less(t, cpu, time.Duration(idleShare*float64(idleWindow)))

	beside := median(t, client, fast)
	t.Logf("median of a fast task: %v alone, %v beside %d tasks that wait, ratio %.2f",
		alone, beside, each*len(waits()), beside.Seconds()/alone.Seconds())
	for _, w := range waits() {
		awaitCount(t, client, versions[w.name], "waiting", each)
		if w.key != "" {
			wakeOne(t, client, versions[w.name], w.key)
		}
	}
}

// createMany starts n tasks that wait a day, unless they get a signal.
func createMany(t *testing.T, client *suitetest.Client, version string, n int) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(creators)
	for range n {
		group.Go(func() error {
			_, err := client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{
				FlowVersionID: version, Params: json.RawMessage(`{"delay": 86400000}`),
			})
			return err
		})
	}
	require.NoError(t, group.Wait())
}

// wakeOne sends a signal to one of many tasks that wait, which completes.
func wakeOne(t *testing.T, client *suitetest.Client, version, key string) {
	t.Helper()
	page, err := client.Tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: version, Status: "waiting", PageSize: 1})
	require.NoError(t, err)
	require.NoError(t, client.Tasks.Signal(t.Context(), schedulerapi.SignalRequest{
		TaskID: page.Data[0].ID, Key: key, Value: json.RawMessage("true"),
	}))
	awaitCount(t, client, version, "completed", 1)
}

// watch lets a server be for a while and returns the processor time that it
// used and what it changed in its databases.
func watch(t *testing.T, server suite) (cpu time.Duration, changed []string) {
	t.Helper()
	before, used := footprint(t, server), server.CPU(t)
	<-time.After(idleWindow)
	cpu = server.CPU(t) - used
	after := footprint(t, server)
	for name, is := range after {
		if was := before[name]; was != is {
			changed = append(changed, fmt.Sprintf("%s: %s, was %s", name, is, was))
		}
	}
	require.Len(t, after, len(before), "files and tables")
	return cpu, changed
}

// footprint is size, time and content of every file of the databases, by name,
// and every table on Postgres. The -shm files are left out: they are shared
// memory, in which readers mark what they read.
func footprint(t *testing.T, server suite) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(server.data, "*.db*"))
	require.NoError(t, err)
	require.Contains(t, names, filepath.Join(server.data, "queue.db-wal"))
	marks := map[string]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "-shm") {
			continue
		}
		info, err := os.Stat(name)
		require.NoError(t, err)
		marks[filepath.Base(name)] = fmt.Sprintf("%d bytes of %s, %x", info.Size(), info.ModTime().Format(time.RFC3339Nano), content(t, name))
	}
	if server.dsn != "" {
		for table, rows := range (pair{dsn: server.dsn}).rows(t) {
			marks[table] = fmt.Sprintf("%d rows, %x", len(rows), sha256.Sum256([]byte(strings.Join(rows, "\n"))))
		}
	}
	return marks
}

func content(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.Open(name)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	_, err = io.Copy(sum, file)
	require.NoError(t, err)
	return sum.Sum(nil)
}

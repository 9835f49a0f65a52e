//go:build unix

package chaos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	exitFailed = 1
	exitUsage  = 2
	// startTimeout bounds a start that fails, a database that does not answer
	// included.
	startTimeout = 30 * time.Second
	password     = "hunter2-hunter2"
)

// launch is a way to start something that has a data directory and an address:
// everything at once, or one service.
type launch struct {
	name    string
	program suitetest.Program
	args    func(dir, addr string) []string
	db      func(dsn string) []string // more args: where the scheduler's tasks are
}

func launches() []launch {
	return []launch{
		{
			name: "AllInOne", program: suitetest.PocketFlow,
			args: func(dir, addr string) []string { return []string{"serve", "--data=" + dir, "--addr=" + addr} },
			db:   func(dsn string) []string { return []string{"--scheduler-db=" + dsn} },
		},
		{
			name: "Scheduler", program: suitetest.Scheduler,
			args: func(dir, addr string) []string {
				return []string{"--db=" + filepath.Join(dir, "scheduler.db"), "--addr=" + addr}
			},
			db: func(dsn string) []string { return []string{"--db=" + dsn} },
		},
	}
}

// mistake is one way to start wrong.
type mistake struct {
	name string
	exit int
	says string
	// args are the command line; what it needs it makes, in dir.
	args func(t *testing.T, l launch, dir string) []string
}

func mistakes() []mistake {
	return []mistake{
		{name: "PortInUse", exit: exitFailed, says: "address already in use", args: func(t *testing.T, l launch, dir string) []string {
			t.Helper()
			other := suitetest.Addr(t)
			suitetest.Serve(t, other, suitetest.Command{Program: suitetest.Registry, Args: []string{"--db=" + dir + "/other.db"}})
			return l.args(dir, other)
		}},
		{name: "DataDirectoryUnderAFile", exit: exitFailed, says: "not a directory", args: func(t *testing.T, l launch, _ string) []string {
			t.Helper()
			return l.args(filepath.Join(os.DevNull, "data"), suitetest.Addr(t))
		}},
		{name: "DataDirectoryIsAFile", exit: exitFailed, says: "not a directory", args: func(t *testing.T, l launch, dir string) []string {
			t.Helper()
			file := filepath.Join(dir, "file")
			require.NoError(t, os.WriteFile(file, nil, 0o600))
			return l.args(file, suitetest.Addr(t))
		}},
		{name: "UnknownFlag", exit: exitUsage, says: "--bogus", args: func(t *testing.T, l launch, dir string) []string {
			t.Helper()
			return append(l.args(dir, suitetest.Addr(t)), "--bogus")
		}},
		{name: "DatabaseOfUnknownKind", exit: exitFailed, says: "mysql", args: func(t *testing.T, l launch, dir string) []string {
			t.Helper()
			return append(l.args(dir, suitetest.Addr(t)), l.db("mysql://pocketflow:"+password+"@127.0.0.1/tasks")...)
		}},
		{name: "DatabaseThatDoesNotParse", exit: exitFailed, says: "does not parse", args: func(t *testing.T, l launch, dir string) []string {
			t.Helper()
			return append(l.args(dir, suitetest.Addr(t)), l.db("postgres://pocketflow:"+password+"@127.0.0.1/%zz")...)
		}},
		{name: "DatabaseThatDoesNotAnswer", exit: exitFailed, says: "connection refused", args: func(t *testing.T, l launch, dir string) []string {
			t.Helper()
			return append(l.args(dir, suitetest.Addr(t)), l.db("postgres://pocketflow:"+password+"@"+suitetest.Addr(t)+"/tasks")...)
		}},
		{name: "SchemaNewerThanTheBinary", exit: exitFailed, says: "999", args: func(t *testing.T, l launch, dir string) []string {
			t.Helper()
			args := l.args(dir, suitetest.Addr(t))
			first := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{Program: l.program, Args: withoutAddr(args)})
			require.Zero(t, first.Stop(t))
			fromTheFuture(t, filepath.Join(dir, "scheduler.db"))
			return args
		}},
		{name: "DataInUseByAnotherProcess", exit: exitFailed, says: "in use by another process", args: func(t *testing.T, l launch, dir string) []string {
			t.Helper()
			args := l.args(dir, suitetest.Addr(t))
			suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{Program: l.program, Args: withoutAddr(args)})
			return args
		}},
	}
}

func withoutAddr(args []string) []string {
	var others []string
	for _, arg := range args {
		if !strings.HasPrefix(arg, "--addr=") {
			others = append(others, arg)
		}
	}
	return others
}

func TestStart_ThatCannotSucceedSaysWhyInOneLine(t *testing.T) {
	t.Parallel()
	for _, l := range launches() {
		for _, m := range mistakes() {
			t.Run(l.name+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				args := m.args(t, l, t.TempDir())
				process := suitetest.Start(t, suitetest.Command{Program: l.program, Args: args})
				require.Equal(t, m.exit, process.Wait(t, startTimeout))

				require.Empty(t, process.Stdout())
				line, rest, _ := strings.Cut(process.Stderr(), "\n")
				require.Empty(t, rest, "lines after the first: %s", process.Stderr())
				require.True(t, strings.HasPrefix(line, string(l.program)+": "), line)
				require.Contains(t, line, m.says)
				require.NotContains(t, line, password)
				require.NotContains(t, line, "goroutine ")
				require.Less(t, len(line), 400, line)
			})
		}
	}
}

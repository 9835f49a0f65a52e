//go:build unix

package examples

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// databases makes a service a database of its own.
type databases func(t *testing.T, service string) (dsn string)

func onSQLite(t *testing.T, service string) string {
	t.Helper()
	return "sqlite://" + t.TempDir() + "/" + service + ".db"
}

func onPostgres(t *testing.T, service string) string {
	t.Helper()
	return pgtest.Migrated(t, service)
}

// variables are the names of the services' settings.
var variables = map[suitetest.Program]struct{ name, service string }{
	suitetest.Registry:  {"REGISTRY", "registry"},
	suitetest.Catalog:   {"CATALOG", "catalog"},
	suitetest.Queue:     {"QUEUE", "queue"},
	suitetest.Scheduler: {"SCHEDULER", "scheduler"},
}

// order is that in which each service finds those that it calls.
var order = []suitetest.Program{suitetest.Registry, suitetest.Catalog, suitetest.Queue, suitetest.Scheduler}

// allowScripts lets the examples' scripts run.
const allowScripts = "SCHEDULER_SCRIPT_ALLOW=sh"

// allInOne starts the suite as one process and returns its URL.
func allInOne(t *testing.T, on databases) string {
	t.Helper()
	env := []string{allowScripts}
	for _, v := range variables {
		env = append(env, v.name+"_DB="+on(t, v.service))
	}
	return suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.PocketFlow, Args: []string{"serve", "--data=" + t.TempDir()}, Env: env,
	}).URL
}

// fiveProcesses starts every service as a process of its own and returns the
// gateway's URL.
func fiveProcesses(t *testing.T, on databases) string {
	t.Helper()
	env, addrs := []string{allowScripts}, map[suitetest.Program]string{}
	for program, v := range variables {
		addrs[program] = suitetest.Addr(t)
		env = append(env, v.name+"_DB="+on(t, v.service), v.name+"_URL=http://"+addrs[program])
	}
	for _, program := range order {
		suitetest.Serve(t, addrs[program], suitetest.Command{Program: program, Env: env})
	}
	return suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{Program: suitetest.Gateway, Env: env}).URL
}

// startWorkers starts a demo worker that is pushed to and one that pulls, and
// waits until both are known.
func startWorkers(t *testing.T, base string, client *suitetest.Client) {
	t.Helper()
	suitetest.Start(t, suitetest.Command{
		Program: suitetest.DemoWorker, Env: []string{"SCHEDULER_BASE=" + base, "WORKER_URL=http://" + suitetest.Addr(t)},
	})
	suitetest.Start(t, suitetest.Command{
		Program: suitetest.DemoWorker, Env: []string{"SCHEDULER_BASE=" + base, "WORKER_MODE=pull"},
	})
	suitetest.Await(t, patience, func() error {
		workers, err := client.Workers.List(t.Context(), "transform")
		if err != nil {
			return err
		}
		online := slices.DeleteFunc(workers, func(w registryapi.Worker) bool { return w.Status != "online" })
		if len(online) < 2 {
			return fmt.Errorf("%d of two workers are online", len(online))
		}
		return nil
	})
}

//go:build unix

package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/worker"
	"github.com/pocketflowgo/pocketflow/tests/examples"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// The services as processes, with a second scheduler and a second queue-gateway
// on the same databases. Tasks are created at one scheduler and their jobs'
// results told to the other; jobs are put at one queue-gateway and fetched from
// the other.
func TestProcesses_EveryExampleComesToWhatIsDocumented(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	databases := map[part]string{
		registryPart: migrations.Registry, catalogPart: migrations.Catalog, queuePart: migrations.Queue, schedulerPart: migrations.Scheduler,
	}
	env, addrs := []string{"SCHEDULER_SCRIPT_ALLOW=sh"}, map[part]string{}
	for p, service := range databases {
		addrs[p] = suitetest.Addr(t)
		env = append(env, p.prefix+"_DB="+pgtest.Migrated(t, service), p.prefix+"_URL=http://"+addrs[p], "AUTO_MIGRATE=false")
	}
	serve := func(addr string, p part) *suitetest.Server {
		return suitetest.Serve(t, addr, suitetest.Command{Program: p.program, Env: env})
	}
	for _, p := range parts {
		if p.hasDB {
			serve(addrs[p], p)
		}
	}
	otherQueue, otherScheduler := serve(suitetest.Addr(t), queuePart), serve(suitetest.Addr(t), schedulerPart)
	gateway := serve(suitetest.Addr(t), gatewayPart)
	for _, mode := range []worker.Mode{worker.Push, worker.Pull} {
		suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
			Program: suitetest.DemoWorker,
			Env:     []string{"SCHEDULER_BASE=" + gateway.URL, "QUEUE_URL=" + otherQueue.URL, "WORKER_MODE=" + string(mode)},
		})
	}
	client := suitetest.ConnectEach(t, suitetest.Bases{Registry: gateway.URL, Catalog: gateway.URL, Scheduler: otherScheduler.URL})
	awaitWorkers(t, client)
	all, err := examplesDir.Load()
	require.NoError(t, err)
	examplesDir.Run(t, client, all, examples.Dir.YAML)
}

//go:build unix

package chaos

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// process is one service as it is deployed by itself: with its own settings and
// the addresses of those that it calls.
type process struct {
	program suitetest.Program
	addr    string
	args    []string
	peers   []suitetest.Program
}

// processes are the services, each with an address where it will be.
func processes(t *testing.T) map[suitetest.Program]process {
	t.Helper()
	at := map[suitetest.Program]string{}
	for _, program := range suitetest.Programs {
		at[program] = suitetest.Addr(t)
	}
	urls := map[suitetest.Program]string{
		suitetest.Registry: "--registry-url=", suitetest.Catalog: "--catalog-url=",
		suitetest.Scheduler: "--scheduler-url=", suitetest.Queue: "--queue-url=",
	}
	all := map[suitetest.Program]process{}
	add := func(program suitetest.Program, database string, peers ...suitetest.Program) {
		p := process{program: program, addr: at[program], peers: peers}
		if database != "" {
			p.args = append(p.args, "--db="+t.TempDir()+"/"+database)
		}
		for _, peer := range peers {
			p.args = append(p.args, urls[peer]+"http://"+at[peer])
		}
		all[program] = p
	}
	add(suitetest.Registry, "registry.db")
	add(suitetest.Catalog, "catalog.db")
	add(suitetest.Scheduler, "scheduler.db", suitetest.Registry, suitetest.Catalog, suitetest.Queue)
	add(suitetest.Queue, "queue.db", suitetest.Scheduler)
	add(suitetest.Gateway, "", suitetest.Registry, suitetest.Catalog, suitetest.Scheduler, suitetest.Queue)
	return all
}

func (p process) start(t *testing.T) *suitetest.Server {
	t.Helper()
	return suitetest.Serve(t, p.addr, suitetest.Command{Program: p.program, Args: p.args})
}

// readiness is what a process says of itself, and of each peer.
func readiness(t *testing.T, addr string) (string, map[suitetest.Program]string) {
	t.Helper()
	var body struct {
		Status string `json:"status"`
		Peers  []struct {
			Name   suitetest.Program `json:"name"`
			Status string            `json:"status"`
		} `json:"peers"`
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/readyz", http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode, "peers decide nothing")
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
	peers := map[suitetest.Program]string{}
	for _, peer := range body.Peers {
		peers[peer.Name] = peer.Status
	}
	return body.Status, peers
}

// awaitPeers waits until the process says that these of its peers are away, and
// the others not.
func (p process) awaitPeers(t *testing.T, away ...suitetest.Program) {
	t.Helper()
	want, status := map[suitetest.Program]string{}, "ready"
	for _, peer := range p.peers {
		want[peer] = "ok"
	}
	for _, peer := range away {
		want[peer], status = "away", "degraded"
	}
	await(t, func() error {
		if said, peers := readiness(t, p.addr); said != status || !maps.Equal(peers, want) {
			return fmt.Errorf("%s says %s of itself and %v of its peers", p.program, said, peers)
		}
		return nil
	})
}

func TestAlone_EachServiceStartsAndSaysWhoIsAway(t *testing.T) {
	t.Parallel()
	for program, p := range processes(t) {
		t.Run(string(program), func(t *testing.T) {
			t.Parallel()
			server := p.start(t)
			p.awaitPeers(t, p.peers...)
			require.Zero(t, server.Stop(t))
		})
	}
}

// The services come one by one, those that call others first; then one goes and
// comes back. Nobody else is started again, and work goes on.
func TestAlone_ServicesFindTheirPeersOnceTheyAreThere(t *testing.T) {
	t.Parallel()
	all := processes(t)
	gateway, scheduler := all[suitetest.Gateway], all[suitetest.Scheduler]
	front := gateway.start(t)
	scheduler.start(t)
	gateway.awaitPeers(t, suitetest.Registry, suitetest.Catalog, suitetest.Queue)
	registry := all[suitetest.Registry].start(t)
	all[suitetest.Catalog].start(t)
	scheduler.awaitPeers(t, suitetest.Queue)
	queue := all[suitetest.Queue].start(t)
	scheduler.awaitPeers(t)
	gateway.awaitPeers(t)
	all[suitetest.Queue].awaitPeers(t)

	client := suitetest.Connect(t, front.URL)
	version := client.Publish(t, "tripling", queuedTripling)
	p := parts{registry: registry.URL, queue: queue}
	p.pullWorker(t, suitetest.NewJournal(t))
	triple := func() (id string) {
		id, err := client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{
			FlowVersionID: version, Params: json.RawMessage(`{"n": 14}`),
		})
		require.NoError(t, err)
		return id
	}
	completes := func(id string) {
		await(t, func() error {
			task, err := client.Tasks.GetTask(t.Context(), id)
			if err == nil && task.Status != "completed" {
				err = fmt.Errorf("the task is %s", task.Status)
			}
			return err
		})
	}
	completes(triple())

	queue.Kill(t)
	scheduler.awaitPeers(t, suitetest.Queue)
	gateway.awaitPeers(t, suitetest.Queue)
	held := triple()
	queue.Restart(t)
	scheduler.awaitPeers(t)
	gateway.awaitPeers(t)
	completes(held)
	completes(triple())
}

//go:build unix

package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	// shortLease and shortClaim are how soon the work of a killed scheduler and
	// of a killed worker goes on elsewhere.
	shortLease = 2 * time.Second
	shortClaim = 2 * time.Second
	// workTime is how long each execution takes, so that some are under way
	// whenever something happens.
	workTime = 20 * time.Millisecond
	// impatience is when a client gives a call up and repeats it.
	impatience = 10 * time.Second
)

// part is a program of the suite as it stands in a stack.
type part struct {
	program suitetest.Program
	alias   string // in the network; its replicas share it
	port    string // in the network
	prefix  string // of its settings, such as SCHEDULER_ADDR and SCHEDULER_DB
	hasDB   bool
}

// The parts, in the order in which each finds those that it calls.
var (
	registryPart  = part{suitetest.Registry, "registry", "8071", "REGISTRY", true}
	catalogPart   = part{suitetest.Catalog, "flow-catalog", "8072", "CATALOG", true}
	queuePart     = part{suitetest.Queue, "queue-gateway", "8074", "QUEUE", true}
	schedulerPart = part{suitetest.Scheduler, "scheduler", "8073", "SCHEDULER", true}
	gatewayPart   = part{suitetest.Gateway, "gateway", "8070", "GATEWAY", false}
	pushPart      = part{suitetest.DemoWorker, "push-worker", "8081", "WORKER", false}
	pullPart      = part{suitetest.DemoWorker, "pull-worker", "8081", "WORKER", false}

	parts = []part{registryPart, catalogPart, queuePart, schedulerPart, gatewayPart, pushPart, pullPart}
)

// counts are how many replicas there are of a part that there is not one of.
type counts map[part]int

var inPairs = counts{queuePart: 2, schedulerPart: 2}

// stack is the suite in containers of its own network, on Postgres.
type stack struct {
	network  *testcontainers.DockerNetwork
	postgres *replica
	dsn      string // of the database, on this machine
	replicas map[part][]*replica
	journals []*suitetest.Journal // of the workers
	client   *suitetest.Client
	// direct goes past the gateway to the first scheduler, for what is not a
	// matter of how a request finds its replica.
	direct *suitetest.Client
}

// startStack starts a stack with a migrated database.
func startStack(t *testing.T, replicas counts) *stack {
	t.Helper()
	s := newStack(t)
	for _, p := range parts {
		if p.hasDB {
			s.migrate(t, p, "up")
		}
	}
	for _, p := range parts {
		for range max(1, replicas[p]) {
			s.add(t, p)
		}
	}
	s.awaitAll(t)
	return s
}

// newStack starts a network with Postgres in it.
func newStack(t *testing.T) *stack {
	t.Helper()
	needEngine(t)
	image(t, suitetest.Registry)
	s := &stack{replicas: map[part][]*replica{}}
	var err error
	s.network, err = network.New(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.network.Remove(context.WithoutCancel(t.Context()))) })
	s.startPostgres(t)
	return s
}

// add starts one more replica of a part; it does not wait until that is ready.
func (s *stack) add(t *testing.T, p part) {
	t.Helper()
	no, addr := len(s.replicas[p])+1, suitetest.Addr(t)
	binds, settings := []string{}, s.settings(p)
	if p.program == suitetest.DemoWorker {
		journal := suitetest.NewJournal(t)
		s.journals = append(s.journals, journal)
		binds = append(binds, filepath.Dir(journal.Path)+":/journal")
		settings["WORKER_JOURNAL"] = "/journal/" + filepath.Base(journal.Path)
	}
	r := &replica{name: fmt.Sprintf("%s-%d", p.alias, no), url: "http://" + addr, image: image(t, p.program)}
	r.ready = readyz(r.url)
	r.options = []testcontainers.ContainerCustomizer{
		network.WithNetwork([]string{p.alias, r.name}, s.network), testcontainers.WithEnv(settings), published(addr, p.port, binds...), confined(),
	}
	s.replicas[p] = append(s.replicas[p], r)
	r.create(t)

}

// settings are those of a part: what deploy/compose gives it, and short times
// for the work of those that are killed.
func (s *stack) settings(p part) map[string]string {
	settings := map[string]string{"INSECURE": "true", "LOG_LEVEL": "warn", p.prefix + "_ADDR": "0.0.0.0:" + p.port}
	if p.hasDB {
		settings[p.prefix+"_DB"], settings["AUTO_MIGRATE"] = databaseURL("postgres:"+postgresPort), "false"
	}
	if p.program == suitetest.DemoWorker {
		settings["SCHEDULER_BASE"] = "http://" + gatewayPart.alias + ":" + gatewayPart.port
		settings["WORKER_URL"] = "http://" + p.alias + ":" + p.port
		settings["WORKER_DELAY"], settings["WORKER_VISIBILITY"] = workTime.String(), shortClaim.String()
		settings["WORKER_SLOTS"] = "16"
		if p == pullPart {
			settings["WORKER_MODE"] = "pull"
		}
		return settings
	}
	if p == schedulerPart {
		settings["SCHEDULER_LEASE_TTL"] = shortLease.String()
	}
	for _, peer := range parts {
		if peer.hasDB && peer != p {
			settings[peer.prefix+"_URL"] = "http://" + peer.alias + ":" + peer.port
		}
	}
	return settings
}

// all are the stack's containers with a part of the suite in them.
func (s *stack) all() []*replica {
	var all []*replica
	for _, p := range parts {
		all = append(all, s.replicas[p]...)
	}
	return all
}

// awaitAll waits until everything is ready and both workers are known.
func (s *stack) awaitAll(t *testing.T) {
	t.Helper()
	for _, r := range s.all() {
		r.awaitReady(t)
	}
	url := s.replicas[gatewayPart][0].url
	s.client = suitetest.ConnectEach(t, suitetest.Bases{Registry: url, Catalog: url, Scheduler: url, Impatience: impatience})
	s.direct = suitetest.ConnectEach(t, suitetest.Bases{Registry: url, Catalog: url, Scheduler: s.replicas[schedulerPart][0].url})
	awaitWorkers(t, s.client)
}

// awaitWorkers waits until the worker that is called and the one that fetches
// are known.
func awaitWorkers(t *testing.T, client *suitetest.Client) {
	t.Helper()
	suitetest.Await(t, startTimeout, func() error {
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

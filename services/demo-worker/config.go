package demoworker

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/worker"
)

// Config are the demo worker's settings.
type Config struct {
	ID          string      `help:"Name of this worker; a fresh one per process when empty." name:"id" env:"WORKER_ID"`
	Mode        worker.Mode `help:"How work comes: push (it is called) or pull (it fetches jobs)." enum:"push,pull" default:"push" env:"WORKER_MODE"`
	Addr        string      `help:"Address to listen at, host:port. When empty: the port of the URL if that is on this machine, else 127.0.0.1:8081; a pull worker listens nowhere, and otherwise serves only its health." env:"WORKER_ADDR"`
	URL         string      `help:"URL that the scheduler reaches it by; http://<address> when empty." name:"url" env:"WORKER_URL"`
	Base        string      `help:"Base URL of the suite: its gateway, or the all-in-one server." default:"http://127.0.0.1:8070" env:"SCHEDULER_BASE"`
	RegistryURL string      `help:"Base URL of the registry; the suite's when empty." name:"registry-url" env:"REGISTRY_URL"`
	QueueURL    string      `help:"Base URL of the queue-gateway, for pull; the suite's when empty." name:"queue-url" env:"QUEUE_URL"`

	MaxConcurrency int           `help:"Most executions at once when pushed." default:"1024" env:"WORKER_MAX_CONCURRENCY"`
	Slots          int           `help:"Most jobs at once when pulling." default:"4" env:"WORKER_SLOTS"`
	Visibility     time.Duration `help:"How long a pulled job is this worker's unless its heartbeats extend it." default:"60s" env:"WORKER_VISIBILITY"`
	Heartbeat      time.Duration `help:"Time between heartbeats." default:"5s" env:"WORKER_HEARTBEAT"`
	Drain          time.Duration `help:"Longest time that a stop waits for work under way." default:"20s" env:"DRAIN_TIMEOUT"`

	Delay   time.Duration `help:"Artificial time that each execution takes." default:"0s" env:"WORKER_DELAY"`
	Journal string        `help:"File that gets one JSON line per execution started." type:"path" env:"WORKER_JOURNAL"`
}

// Validate names every fault of the demo worker's own settings; those of the
// worker SDK are checked by it.
func (c Config) Validate() error {
	var faults []error
	if c.Delay < 0 {
		faults = append(faults, fmt.Errorf("delay must not be negative, it is %s", c.Delay))
	}
	if c.Base == "" && c.RegistryURL == "" {
		faults = append(faults, errors.New("a base URL or a registry URL is required"))
	}
	if c.Mode == worker.Pull && c.Base == "" && c.QueueURL == "" {
		faults = append(faults, errors.New("a base URL or a queue URL is required to pull"))
	}
	return errors.Join(faults...)
}

// defaultAddr is where a push worker listens that is told nothing else.
const defaultAddr = "127.0.0.1:8081"

// ListenAddr is the address that it serves at; "" for none. Setting the URL
// alone is enough for a worker on this machine.
func (c Config) ListenAddr() string {
	if c.Addr != "" || c.Mode == worker.Pull {
		return c.Addr
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Port() == "" {
		return defaultAddr
	}
	if host := u.Hostname(); host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return defaultAddr
	}
	return net.JoinHostPort("127.0.0.1", u.Port())
}

func (c Config) worker() worker.Config {
	return worker.Config{
		ID: c.ID, Mode: c.Mode, Addr: c.ListenAddr(), URL: c.URL,
		RegistryURL: cmp.Or(c.RegistryURL, c.Base), QueueURL: cmp.Or(c.QueueURL, c.Base),
		MaxConcurrency: c.MaxConcurrency, Slots: c.Slots, Visibility: c.Visibility, Heartbeat: c.Heartbeat, Drain: c.Drain,
	}
}

package worker

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/ids"
)

// Mode says how work reaches the worker.
type Mode string

const (
	Push Mode = "push" // the scheduler calls it
	Pull Mode = "pull" // it fetches jobs from the queue-gateway
)

// Modes lists every mode.
var Modes = []Mode{Push, Pull}

// maxVisibility is the longest claim that the queue-gateway grants.
const maxVisibility = 12 * time.Hour

// Config says who the worker is and where its peers are. Zero fields take the
// defaults that they name.
type Config struct {
	ID          string            // default: a fresh one per process
	Mode        Mode              // default: Push
	RegistryURL string            // the registry, or the gateway in front of it; pull default: QueueURL
	Labels      map[string]string // shown in lists of workers
	Heartbeat   time.Duration     // between heartbeats, and at most between those of claims; default 5 s
	Drain       time.Duration     // longest wait for work under way at the stop; default 20 s

	// Addr is where it listens, host:port. A push worker must have one; a pull
	// worker that has one serves its health there and nothing else.
	Addr string
	// URL is what the scheduler reaches a push worker by. Default:
	// http://<the address listened at>.
	URL string
	// MaxConcurrency is the most executions of a push worker at once; callers
	// over it are told 503, so that the scheduler tries another worker.
	// Default 1024.
	MaxConcurrency int

	QueueURL   string        // pull: the queue-gateway, or the gateway in front of it
	Slots      int           // pull: jobs at once, 1 to 100; default 4
	Visibility time.Duration // pull: how long a claim lasts unless extended, 1 s to 12 h; default 60 s
	PollWait   time.Duration // pull: how long one poll waits for a job, at most 60 s; default 30 s
}

// Deps are what a worker uses of its surroundings. All may be left out.
type Deps struct {
	Log  *zap.Logger  // default: no log
	HTTP *http.Client // for calls to the registry and the queue-gateway
	// Traces, when given, gets a span of each execution, within the task's trace.
	// The context of a handler belongs to that trace either way.
	Traces trace.TracerProvider
}

func (c Config) withDefaults() Config {
	setDefault(&c.ID, ids.New(ids.Worker))
	setDefault(&c.Mode, Push)
	setDefault(&c.Heartbeat, 5*time.Second)
	setDefault(&c.Drain, 20*time.Second)
	setDefault(&c.MaxConcurrency, 1024)
	setDefault(&c.Slots, 4)
	setDefault(&c.Visibility, time.Minute)
	setDefault(&c.PollWait, 30*time.Second)
	if c.Mode == Pull {
		setDefault(&c.RegistryURL, c.QueueURL)
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (d Deps) withDefaults() Deps {
	if d.Log == nil {
		d.Log = zap.NewNop()
	}
	if d.HTTP == nil {
		d.HTTP = httpx.NewHTTPClient()
	}
	return d
}

// validate names every fault at once.
func (c Config) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if c.RegistryURL == "" {
		fault("RegistryURL is required")
	}
	if c.Heartbeat < 0 {
		fault("Heartbeat must not be negative")
	}
	if c.Drain < 0 {
		fault("Drain must not be negative")
	}
	if c.Addr != "" {
		if _, _, err := net.SplitHostPort(c.Addr); err != nil {
			fault("Addr %q is not host:port", c.Addr)
		}
	}
	switch c.Mode {
	case Push:
		if c.Addr == "" {
			fault("Addr is required by a push worker")
		}
		if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
			fault("URL %q is not http://host:port", c.URL)
		}
		if c.MaxConcurrency < 1 {
			fault("MaxConcurrency must be at least 1")
		}
	case Pull:
		if c.QueueURL == "" {
			fault("QueueURL is required by a pull worker")
		}
		if c.Slots < 1 || c.Slots > 100 {
			fault("Slots must be from 1 to 100")
		}
		if c.Visibility < time.Second || c.Visibility > maxVisibility {
			fault("Visibility must be from 1s to %v", maxVisibility)
		}
		if c.PollWait < 0 || c.PollWait > time.Minute {
			fault("PollWait must be from 0 to 60s")
		}
	default:
		fault("Mode %q is not one of %v", c.Mode, Modes)
	}
	return errors.Join(faults...)
}

// Package registryapi is the registry's wire: the bodies of its routes and the
// typed client that the other services, the CLI and workers call it with.
package registryapi

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// QueueURL is what a worker that nobody calls, because it fetches its work from
// the queue, gives for its URL.
const QueueURL = "queue"

// RegisterRequest registers a worker, or registers it again.
type RegisterRequest struct {
	ID             string            `json:"id"`
	URL            string            `json:"url"` // QueueURL for a pull worker
	Services       []string          `json:"services"`
	Type           string            `json:"type,omitempty"` // http (also when empty), async, local
	Load           Load              `json:"load"`
	MaxConcurrency int               `json:"max_concurrency,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
}

// Load is a worker's own figure of how busy it is. Whole numbers are kept;
// workers in languages without integers may send a fraction, which is rounded.
type Load int

// UnmarshalJSON implements json.Unmarshaler.
func (l *Load) UnmarshalJSON(data []byte) error {
	var figure float64
	if err := json.Unmarshal(data, &figure); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if figure = math.Round(figure); math.Abs(figure) > math.MaxInt32 {
		return fmt.Errorf("load %g is out of range", figure)
	}
	*l = Load(figure)
	return nil
}

// HeartbeatRequest is a worker's sign of life.
type HeartbeatRequest struct {
	ID   string `json:"id"`
	URL  string `json:"url,omitempty"`
	Load Load   `json:"load"`
}

// DeregisterRequest takes a worker out.
type DeregisterRequest struct {
	ID string `json:"id"`
}

// OK is the answer of a route that has nothing else to say.
type OK struct {
	OK string `json:"ok"` // always "1"
}

// Worker is one worker as lists show it.
type Worker struct {
	ID             string            `json:"id"`
	URL            string            `json:"url"`
	Services       []string          `json:"services"`
	Load           int               `json:"load"`
	LastHeartbeat  int64             `json:"last_heartbeat"` // unix ms
	Status         string            `json:"status"`         // online, offline
	Type           string            `json:"type"`
	MaxConcurrency int               `json:"max_concurrency,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
}

// Snapshot is the whole set of online workers at one moment. Version changes
// whenever a worker comes, goes or alters what it offers; mere heartbeats and
// changes of load do not change it.
type Snapshot struct {
	Version string   `json:"version"`
	Workers []Worker `json:"workers"`
}

// Client calls a registry.
type Client struct{ http *httpx.Client }

// NewClient makes a client of the registry at base.
func NewClient(base string, hc *http.Client) (*Client, error) {
	c, err := httpx.NewClient(base, hc)
	if err != nil {
		return nil, err
	}
	return &Client{http: c}, nil
}

// Register registers a worker. Repeats are harmless.
func (c *Client) Register(ctx context.Context, req RegisterRequest) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/workers/register", In: req})
	return err
}

// Heartbeat tells that a worker lives. errs.NotFound: register again.
func (c *Client) Heartbeat(ctx context.Context, req HeartbeatRequest) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/workers/heartbeat", In: req})
	return err
}

// Deregister takes a worker out at once.
func (c *Client) Deregister(ctx context.Context, id string) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/workers/deregister", In: DeregisterRequest{ID: id}})
	return err
}

// List returns the workers of a service ("" for all), offline ones included.
func (c *Client) List(ctx context.Context, service string) ([]Worker, error) {
	var out []Worker
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/workers/list", Query: url.Values{"service": {service}}, Out: &out})
	return out, err
}

// Allocate returns the least loaded online worker of a service, or
// errs.NoWorker.
func (c *Client) Allocate(ctx context.Context, service string) (Worker, error) {
	var out Worker
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/workers/allocate", Query: url.Values{"service": {service}}, Out: &out})
	return out, err
}

// Snapshot returns the online workers once their set is another than version
// names, or after wait, whichever is first. Version "" answers at once.
func (c *Client) Snapshot(ctx context.Context, version string, wait time.Duration) (Snapshot, error) {
	var out Snapshot
	_, err := c.http.Do(ctx, httpx.Call{
		Method: http.MethodGet, Path: "/internal/workers/snapshot",
		Query: url.Values{"version": {version}, "wait_ms": {strconv.FormatInt(wait.Milliseconds(), 10)}}, Out: &out,
	})
	return out, err
}

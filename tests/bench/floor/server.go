package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// server answers the routes that the measurements use.
type server struct {
	store  *store
	worker *worker
	queue  queue

	mu     sync.Mutex
	counts map[string]count // by version
}

// count is of tasks that are durable.
type count struct{ total, completed int }

func newServer(store *store, workerURL string) *server {
	return &server{store: store, worker: newWorker(workerURL), counts: map[string]count{}, queue: newQueue()}
}

func (s *server) serve(ctx context.Context, addr string) error {
	mux := http.NewServeMux()
	for pattern, handler := range map[string]func(*http.Request) ([]byte, error){
		"GET /readyz":          func(*http.Request) ([]byte, error) { return ok, nil },
		"GET /metrics":         s.metrics,
		"POST /tasks":          s.create,
		"GET /tasks":           s.list,
		"GET /tasks/get":       s.get,
		"POST /queue/poll":     s.poll,
		"POST /queue/complete": s.complete,
	} {
		mux.HandleFunc(pattern, answering(handler))
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	h := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = h.Close() })()
	if err := h.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

var ok = []byte(`{"ok":"1"}`)

// answering makes a handler of what gives the answer's body; 204 for none.
func answering(handler func(*http.Request) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := handler(r)
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case body == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header()["Content-Type"] = jsonType
			_, _ = w.Write(body) // the client is gone
		}
	}
}

func decode(r *http.Request, into any) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func (s *server) create(r *http.Request) ([]byte, error) {
	var request struct {
		Version string          `json:"flow_version_id"`
		Params  json.RawMessage `json:"params"`
	}
	if err := decode(r, &request); err != nil {
		return nil, err
	}
	t := newTask(request.Version, request.Params)
	if err := s.store.commit(t.row(t.begin(), created)); err != nil {
		return nil, err
	}
	s.counted(t.version, count{total: 1})
	switch t.kind {
	case "steps":
		go s.inTurn(t)
	case "fan":
		go s.atOnce(t)
	case "queue":
		go s.putJob(t)
	}
	return append(append([]byte(`{"id":"`), t.id...), `"}`...), nil
}

func (s *server) counted(version string, more count) {
	s.mu.Lock()
	c := s.counts[version]
	s.counts[version] = count{total: c.total + more.total, completed: c.completed + more.completed}
	s.mu.Unlock()
}

// list answers how many tasks a version has, or how many of them are completed.
func (s *server) list(r *http.Request) ([]byte, error) {
	query := r.URL.Query()
	s.mu.Lock()
	c := s.counts[query.Get("flow_version_id")]
	s.mu.Unlock()
	total := c.total
	if query.Get("status") == completed {
		total = c.completed
	}
	return fmt.Appendf(nil, `{"data":[],"total":%d,"page":1,"size":1}`, total), nil
}

// get answers what is in the database.
func (s *server) get(r *http.Request) ([]byte, error) {
	id, err := idOf(r.URL)
	if err != nil {
		return nil, err
	}
	row, err := s.store.db.get(r.Context(), id)
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		ID      string `json:"id"`
		Version string `json:"flow_version_id"`
		Status  string `json:"status"`
		Shared  string `json:"shared_json"`
	}{row.id, row.version, row.status, row.shared})
}

func idOf(u *url.URL) (string, error) {
	id, found := strings.CutPrefix(u.RawQuery, "id=")
	if !found {
		return "", fmt.Errorf("no id in %q", u.RawQuery)
	}
	return id, nil
}

// metrics are the suite's names for the same, so that one reader does for both.
func (s *server) metrics(*http.Request) ([]byte, error) {
	return fmt.Appendf(nil, "pocketflow_storage_commit_duration_seconds_count %d\npocketflow_storage_commit_writes_sum %d\n",
		s.store.commits.Load(), s.store.writes.Load()), nil
}

// fatal ends the process: a floor that goes on after a failure measures nothing.
func fatal(err error) {
	fmt.Fprintf(os.Stderr, "floor: %v\n", err)
	os.Exit(1) //nolint:revive // its databases are thrown away
}

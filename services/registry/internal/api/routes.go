// Package api is the registry's HTTP: it decodes a request, makes one call of
// the roster and encodes what comes back. What is right and wrong in a request
// is the roster's to say.
package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/services/registry/internal/roster"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	maxWaitMS = 60_000
	maxTTL    = 365 * 24 * 60 * 60 // seconds
)

// Routes lists the registry's routes.
func Routes(r *roster.Roster) []httpx.Route {
	h := handlers{roster: r}
	return []httpx.Route{
		{Method: http.MethodPost, Path: "/workers/register", Aliases: []string{"/register"}, Handler: h.register},
		{Method: http.MethodPost, Path: "/workers/heartbeat", Aliases: []string{"/heartbeat"}, Handler: h.heartbeat, Background: true},
		{Method: http.MethodGet, Path: "/workers/list", Aliases: []string{"/list"}, Handler: h.list},
		{Method: http.MethodGet, Path: "/workers/allocate", Aliases: []string{"/allocate"}, Handler: h.allocate},
		{Method: http.MethodPost, Path: "/workers/deregister", Handler: h.deregister},
		{Method: http.MethodGet, Path: "/internal/workers/snapshot", Handler: h.snapshot, Internal: true},
	}
}

type handlers struct{ roster *roster.Roster }

// registration is what workers send. When it was last heard of is the
// registry's to know: the field is taken from old workers and not used.
type registration struct {
	registryapi.RegisterRequest
	LastHeartbeat json.RawMessage `json:"last_heartbeat"`
}

func (h handlers) register(w http.ResponseWriter, r *http.Request) error {
	var body registration
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	worker := storage.Worker{
		ID: body.ID, URL: body.URL, Services: body.Services, Type: storage.WorkerHTTP,
		Load: int(body.Load), MaxConcurrency: body.MaxConcurrency, Labels: body.Labels,
	}
	switch {
	case body.Type != "":
		worker.Type = storage.WorkerType(strings.ToLower(body.Type))
	case strings.EqualFold(body.URL, registryapi.QueueURL):
		// A pull worker that names no type says with its URL that it cannot be
		// called.
		worker.Type = storage.WorkerAsync
	}
	if err := h.roster.Register(r.Context(), worker); err != nil {
		return problem(err, worker.ID)
	}
	return httpx.WriteJSON(w, http.StatusOK, registryapi.OK{OK: "1"})
}

func (h handlers) heartbeat(w http.ResponseWriter, r *http.Request) error {
	var body registryapi.HeartbeatRequest
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	beat := storage.Heartbeat{ID: body.ID, URL: body.URL, Load: int(body.Load)}
	if err := h.roster.Heartbeat(r.Context(), beat); err != nil {
		return problem(err, body.ID)
	}
	return httpx.WriteJSON(w, http.StatusOK, registryapi.OK{OK: "1"})
}

func (h handlers) deregister(w http.ResponseWriter, r *http.Request) error {
	var body registryapi.DeregisterRequest
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	if err := h.roster.Deregister(r.Context(), body.ID); err != nil {
		return problem(err, body.ID)
	}
	return httpx.WriteJSON(w, http.StatusOK, registryapi.OK{OK: "1"})
}

// list takes ttl in whole seconds, as old clients send it; 0 is the
// registry's own.
func (h handlers) list(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	service := q.String("service")
	ttl := time.Duration(q.Int("ttl", httpx.Bounds{Min: 0, Max: maxTTL})) * time.Second
	if err := q.Err(); err != nil {
		return err
	}
	return httpx.WriteJSON(w, http.StatusOK, wireAll(h.roster.List(service, ttl)))
}

func (h handlers) allocate(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	service := q.Required("service")
	if err := q.Err(); err != nil {
		return err
	}
	member, err := h.roster.Allocate(service)
	if err != nil {
		return err
	}
	return httpx.WriteJSON(w, http.StatusOK, wire(member))
}

func (h handlers) snapshot(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	version := q.String("version")
	wait := time.Duration(q.Int("wait_ms", httpx.Bounds{Min: 0, Max: maxWaitMS})) * time.Millisecond
	if err := q.Err(); err != nil {
		return err
	}
	snapshot, err := h.roster.Snapshot(r.Context(), version, wait)
	if err != nil {
		return err
	}
	return httpx.WriteJSON(w, http.StatusOK, registryapi.Snapshot{
		Version: snapshot.Version,
		Workers: wireAll(snapshot.Members),
	})
}

func wireAll(members []roster.Member) []registryapi.Worker {
	out := make([]registryapi.Worker, 0, len(members))
	for _, m := range members {
		out = append(out, wire(m))
	}
	return out
}

func wire(m roster.Member) registryapi.Worker {
	return registryapi.Worker{
		ID:             m.ID,
		URL:            m.URL,
		Services:       m.Services,
		Load:           m.Load,
		LastHeartbeat:  m.LastHeartbeat.UnixMilli(),
		Status:         string(m.Status),
		Type:           string(m.Type),
		MaxConcurrency: m.MaxConcurrency,
		Labels:         m.Labels,
	}
}

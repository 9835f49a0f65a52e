package storage

import (
	"context"
	"time"
)

// WorkerType says how work reaches a worker.
type WorkerType string

const (
	WorkerHTTP  WorkerType = "http"  // pushed: the scheduler calls its URL
	WorkerAsync WorkerType = "async" // pulls jobs from the queue-gateway
	WorkerLocal WorkerType = "local" // lives in a scheduler's process
)

// WorkerTypes lists every worker type.
var WorkerTypes = []WorkerType{WorkerHTTP, WorkerAsync, WorkerLocal}

// Worker is one registered worker process.
type Worker struct {
	ID             string
	URL            string
	Services       []string // as registered, in that order; never nil when read
	Type           WorkerType
	Load           int // the worker's own figure, at least 0; what it counts is its affair
	MaxConcurrency int // 0: no limit stated
	Labels         map[string]string
	RegisteredAt   time.Time
	LastHeartbeat  time.Time
}

// Heartbeat is a sign of life. An empty URL keeps the registered one.
type Heartbeat struct {
	ID   string
	URL  string
	Load int
	At   time.Time
}

// Workers is the registry's role.
type Workers interface {
	Base

	// UpsertWorkers registers workers. A known id has every field replaced
	// but RegisteredAt, which keeps its first value. Two items with one id:
	// the later wins. Repeats are harmless.
	UpsertWorkers(ctx context.Context, workers []Worker) error

	// RecordHeartbeats sets load, url and last heartbeat of known workers; the
	// last heartbeat never moves back. Outcomes: nil, or ErrNotFound for an
	// unknown id. Repeats are harmless.
	RecordHeartbeats(ctx context.Context, beats []Heartbeat) (Outcomes, error)

	// ListWorkers returns every worker heard of since the given time (zero:
	// all of them), ordered by id.
	ListWorkers(ctx context.Context, heardSince time.Time) ([]Worker, error)

	// DeleteWorkers removes workers. Outcomes: nil, or ErrNotFound.
	DeleteWorkers(ctx context.Context, ids []string) (Outcomes, error)

	// PruneWorkers removes those last heard of before the given time and
	// returns how many there were.
	PruneWorkers(ctx context.Context, heardBefore time.Time) (int, error)
}

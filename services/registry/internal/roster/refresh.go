package roster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	// refreshInterval is how late a replica may learn what another did. One
	// read of all workers a second is no load for the database; a worker that
	// heartbeats at a replica before that is looked up on the spot.
	refreshInterval = time.Second
	pruneInterval   = time.Minute
)

// Load brings the view in step with the database: its rows decide who is
// registered and as what, and the heartbeats that are not yet written go on top
// of them.
func (r *Roster) Load(ctx context.Context) error {
	r.membership.Lock()
	defer r.membership.Unlock()
	rows, err := r.store.ListWorkers(ctx, time.Time{})
	if err != nil {
		return fmt.Errorf("load workers: %w", err)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	now := storage.Now()
	before := r.workers
	r.workers = make(map[string]storage.Worker, len(rows))
	news := false
	for _, worker := range rows {
		if beat, ok := r.pending[worker.ID]; ok {
			apply(&worker, beat)
		}
		r.workers[worker.ID] = worker
		old, known := before[worker.ID]
		news = news || !known || r.online(old, now) != r.online(worker, now) || !sameOffer(old, worker)
	}
	for id := range before {
		if _, known := r.workers[id]; !known {
			delete(r.pending, id)
			news = true
		}
	}
	if news {
		r.announce()
	}
	return nil
}

// sameOffer tells whether two records of a worker look the same to those who
// give it work. Load and heartbeat change all the time and do not count.
func sameOffer(a, b storage.Worker) bool {
	return a.URL == b.URL && a.Type == b.Type && a.MaxConcurrency == b.MaxConcurrency &&
		slices.Equal(a.Services, b.Services) && maps.Equal(a.Labels, b.Labels)
}

func (r *Roster) prune(ctx context.Context) error {
	pruned, err := r.store.PruneWorkers(ctx, storage.Now().Add(-r.config.Keep))
	if err != nil {
		return fmt.Errorf("prune workers: %w", err)
	}
	if pruned > 0 {
		r.config.Log.Info("workers_pruned", zap.Int("count", pruned))
	}
	return nil
}

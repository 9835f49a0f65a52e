package roster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Snapshot is the set of online workers at one moment, ordered by id.
type Snapshot struct {
	Version string
	Members []Member
}

// Snapshot returns the online workers once their set is another than version
// names, after wait, or when the roster stops, whichever is first. Version ""
// names no set. The error is ctx's.
func (r *Roster) Snapshot(ctx context.Context, version string, wait time.Duration) (Snapshot, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		now, err := r.look()
		if err != nil || now.Version != version || wait <= 0 {
			return now.Snapshot, err
		}
		var expiry <-chan time.Time
		if len(now.Members) > 0 {
			expiry = time.After(now.validFor)
		}
		select {
		case <-now.changed:
		case <-expiry:
		case <-deadline.C:
			wait = 0 // once more, for the loads of this moment
		case <-r.stopping:
			return now.Snapshot, nil
		case <-ctx.Done():
			return Snapshot{}, fmt.Errorf("wait for workers: %w", ctx.Err())
		}
	}
}

// moment is a snapshot and what outdates it: changed is closed when the roster
// has news, and after validFor a member's TTL runs out unless it was heard of.
type moment struct {
	Snapshot
	changed  <-chan struct{}
	validFor time.Duration
}

func (r *Roster) look() (moment, error) {
	r.mu.Lock()
	now := storage.Now()
	m := moment{changed: r.changed, validFor: r.config.TTL}
	for _, w := range r.workers {
		if r.online(w, now) {
			m.Members = append(m.Members, Member{Worker: w, Status: Online})
			m.validFor = min(m.validFor, w.LastHeartbeat.Add(r.config.TTL).Sub(now))
		}
	}
	r.mu.Unlock()

	slices.SortFunc(m.Members, byID)
	var err error
	m.Version, err = versionOf(m.Members)
	return m, err
}

// versionOf is a digest of what the members offer, so that it depends on
// nothing but the set: replicas agree on it, and a restart does not change it.
func versionOf(members []Member) (string, error) {
	type offer struct {
		ID             string
		URL            string
		Type           storage.WorkerType
		Services       []string
		MaxConcurrency int
		Labels         map[string]string `json:",omitempty"` // nil and empty are one
	}
	digest := sha256.New()
	encoder := json.NewEncoder(digest)
	for _, m := range members {
		err := encoder.Encode(offer{m.ID, m.URL, m.Type, m.Services, m.MaxConcurrency, m.Labels})
		if err != nil {
			return "", fmt.Errorf("version of the workers: %w", err)
		}
	}
	return hex.EncodeToString(digest.Sum(nil)[:16]), nil
}

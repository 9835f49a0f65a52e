package sqlstore

import (
	"cmp"
	"maps"
	"sync"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// maxTurns bounds the memory of who was served. Past it all services count as
// not served yet, which costs one of them its place once.
const maxTurns = 10_000

// serviceTurns remembers in which order services were served, so that at equal
// priority the one that has waited longest comes next. Each process remembers
// for itself: what each of them serves in turn is served in turn by all.
type serviceTurns struct {
	mu    sync.Mutex
	order turnOrder
}

// turnOrder holds the number of the turn that each service last had.
type turnOrder struct {
	last  map[string]uint64
	count uint64
}

func newServiceTurns() *serviceTurns {
	return &serviceTurns{order: turnOrder{last: map[string]uint64{}}}
}

// of is the order of the given services as it stands.
func (t *serviceTurns) of(services []string) *turnOrder {
	t.mu.Lock()
	defer t.mu.Unlock()
	order := &turnOrder{last: make(map[string]uint64, len(services)), count: t.order.count}
	for _, service := range services {
		order.last[service] = t.order.last[service]
	}
	return order
}

// served records claims that are committed.
func (t *serviceTurns) served(jobs []storage.Job) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order.last) > maxTurns {
		clear(t.order.last)
	}
	t.order.serve(jobs...)
}

func (o *turnOrder) serve(jobs ...storage.Job) {
	for _, job := range jobs {
		o.count++
		o.last[job.Service] = o.count
	}
}

// takeTurns merges each service's jobs, which are in order, and takes the first
// of them: higher priority first, then the service served longest ago, then
// the oldest job.
func takeTurns(ready map[string][]storage.Job, most int, order *turnOrder) []storage.Job {
	turn := &turnOrder{last: maps.Clone(order.last), count: order.count}
	heads := maps.Clone(ready)
	taken := []storage.Job{}
	for len(taken) < most {
		var next *storage.Job
		for _, jobs := range heads {
			if len(jobs) > 0 && (next == nil || turn.before(&jobs[0], next)) {
				next = &jobs[0]
			}
		}
		if next == nil {
			break
		}
		taken = append(taken, *next)
		turn.serve(*next)
		heads[next.Service] = heads[next.Service][1:]
	}
	return taken
}

func (o *turnOrder) before(a, b *storage.Job) bool {
	return cmp.Or(
		cmp.Compare(b.Priority, a.Priority),
		cmp.Compare(o.last[a.Service], o.last[b.Service]),
		a.AvailableAt.Compare(b.AvailableAt),
		cmp.Compare(a.ID, b.ID),
	) < 0
}

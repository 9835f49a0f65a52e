package runner

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// shelf keeps values that save work as long as they fit: the least recently
// used go first. Nothing may depend on finding one.
type shelf[V any] struct {
	most int // bytes

	mu    sync.Mutex
	byKey *simplelru.LRU[string, shelved[V]]
	bytes int
}

type shelved[V any] struct {
	value V
	size  int
}

func newShelf[V any](entries, bytes int) *shelf[V] {
	s := &shelf[V]{most: bytes}
	// The size is positive, which is all that it fails for.
	s.byKey, _ = simplelru.NewLRU(entries, func(_ string, gone shelved[V]) { s.bytes -= gone.size })
	return s
}

// put keeps a value of that many bytes, unless it alone is too large.
func (s *shelf[V]) put(key string, value V, size int) {
	if size > s.most {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKey.Remove(key)
	s.byKey.Add(key, shelved[V]{value, size})
	s.bytes += size
	for s.bytes > s.most {
		s.byKey.RemoveOldest()
	}
}

func (s *shelf[V]) get(key string) (value V, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, found := s.byKey.Get(key)
	return kept.value, found
}

// take is get for what changes hands.
func (s *shelf[V]) take(key string) (value V, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, found := s.byKey.Get(key)
	s.byKey.Remove(key)
	return kept.value, found
}

// What is kept at most. Without the fans, each result of a job would read and
// parse its whole array again; without the tasks, it would read its task.
const (
	recentFans   = 1000
	recentBytes  = 64 << 20
	waitingTasks = 10_000
	waitingBytes = 16 << 20
	// standingSize is what a standing takes besides the values in it.
	standingSize = 2 << 10
)

package queue

import (
	"context"
	"sync"
	"time"
)

// alarm is when the watch has to look next. Anybody may set it to an earlier
// time; only the watch waits for it.
type alarm struct {
	mu      sync.Mutex
	at      time.Time
	changed chan struct{}
}

func newAlarm() *alarm { return &alarm{changed: make(chan struct{}, 1)} }

// sooner has the watch look at that time, unless it looks before that anyway.
func (a *alarm) sooner(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at.Before(a.at) {
		a.at = at
		kick(a.changed)
	}
}

// set is for the watch: from here on, it would look at that time.
func (a *alarm) set(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = at
}

func (a *alarm) when() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.at
}

// wait returns when the time has come.
func (a *alarm) wait(ctx context.Context) {
	for ctx.Err() == nil {
		left := time.Until(a.when())
		if left <= 0 {
			return
		}
		rest(ctx, left, a.changed)
	}
}

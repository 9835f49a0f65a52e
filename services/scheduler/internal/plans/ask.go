package plans

import (
	"context"
	"sync"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
)

// questions lets those who ask the same at the same time share an answer. One
// is on its way at most; whoever comes meanwhile waits for the next, which is
// asked after they came: nobody is given an answer that is older than their
// question, so a version is seen by every task that is created after it.
type questions struct {
	ask func(ctx context.Context, ref catalogapi.VersionRef) (*Version, error)

	mu sync.Mutex
	// next has an entry for each question on its way: the answer that those wait
	// for who have come since it was asked, nil while there are none.
	next map[catalogapi.VersionRef]*answer
}

type answer struct {
	ctx     context.Context // of who asked first; it does not end
	ready   chan struct{}   // closed: version and err are set
	version *Version
	err     error
}

// get is the answer to a question as of now.
func (q *questions) get(ctx context.Context, ref catalogapi.VersionRef) (*Version, error) {
	own := q.join(context.WithoutCancel(ctx), ref)
	select {
	case <-own.ready:
		return own.version, own.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (q *questions) join(ctx context.Context, ref catalogapi.VersionRef) *answer {
	q.mu.Lock()
	defer q.mu.Unlock()
	if next, asking := q.next[ref]; asking {
		if next == nil {
			next = newAnswer(ctx)
			q.next[ref] = next
		}
		return next
	}
	first := newAnswer(ctx)
	q.next[ref] = nil
	go q.answerAll(ref, first)
	return first
}

// answerAll asks until nobody waits for another answer. Each question is bounded
// in time, so it ends.
func (q *questions) answerAll(ref catalogapi.VersionRef, now *answer) {
	for now != nil {
		q.answer(now, ref)
		now = q.take(ref)
	}
}

func (q *questions) answer(now *answer, ref catalogapi.VersionRef) {
	ctx, cancel := context.WithTimeout(now.ctx, askTimeout)
	defer cancel()
	defer close(now.ready)
	now.version, now.err = q.ask(ctx, ref)
}

// take is the next answer to get; nil ends the asking.
func (q *questions) take(ref catalogapi.VersionRef) *answer {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := q.next[ref]
	if next == nil {
		delete(q.next, ref)
		return nil
	}
	q.next[ref] = nil
	return next
}

func newAnswer(ctx context.Context) *answer {
	return &answer{ctx: ctx, ready: make(chan struct{})}
}

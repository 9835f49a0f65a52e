package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
	"github.com/pocketflowgo/pocketflow/shared/storage/sqlite/internal/raw"
)

const (
	// writeQueue is how many writes may wait; more block in their callers.
	writeQueue = 1024
	// maxWrites is how many writes share a commit. Past a few hundred the disk
	// flush is no longer what costs, and the first one waits for the last.
	maxWrites = 256
	// maxYields is how often the writer lets others run before it takes the
	// queue for empty. One pass is not enough when they are on other processors.
	maxYields = 8

	// restAfter is how long nobody has written when the memory of the pages that
	// were at hand is given back. It outlasts the pauses of work that comes
	// steadily.
	restAfter = 5 * time.Second
)

// A write is in one of these states: its caller may withdraw it until the
// writer takes it.
const (
	writeWaiting int32 = iota
	writeTaken
	writeWithdrawn
)

// write is one closure that waits for its commit.
type write struct {
	closure func(context.Context, sqlstore.Tx) error
	state   atomic.Int32
	err     error
	done    chan struct{} // closed: err is set
}

// take makes the write the writer's own; false when its caller has withdrawn it.
func (item *write) take() bool { return item.state.CompareAndSwap(writeWaiting, writeTaken) }

// writer owns the one connection that writes.
type writer struct {
	session *session
	rested  func() // called when nobody has written for a while
	wrote   bool   // since the timer of that was set; only the loop uses it
	deliver func(hints []string)
	commits sqlstore.Commits

	queue   chan *write
	last    int           // size of the group before; only the loop uses it
	stop    chan struct{} // closed: take what is queued, then end
	ended   chan struct{}
	mu      sync.RWMutex // guards the closing of stop against sends to queue
	closing bool
}

func openWriter(config Config, deliver func([]string), rested func()) (*writer, error) {
	session, err := openSession(config.Path)
	if err != nil {
		return nil, err
	}
	w := &writer{
		session: session, rested: rested, deliver: deliver, commits: config.Commits,
		queue: make(chan *write, writeQueue), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	go w.loop()
	return w, nil
}

// write queues a closure and waits for its commit.
func (w *writer) write(ctx context.Context, closure func(context.Context, sqlstore.Tx) error) error {
	item := &write{closure: closure, done: make(chan struct{})}
	if err := w.enqueue(ctx, item); err != nil {
		return err
	}
	select {
	case <-item.done:
		return item.err
	case <-ctx.Done():
		if item.state.CompareAndSwap(writeWaiting, writeWithdrawn) {
			return ctx.Err()
		}
		// Taken: it takes a moment, and then the caller knows how it ended.
		<-item.done
		return item.err
	}
}

func (w *writer) enqueue(ctx context.Context, item *write) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closing {
		return sqlstore.ErrClosed
	}
	select {
	case w.queue <- item:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) loop() {
	defer close(w.ended)
	rest := time.NewTimer(restAfter)
	defer rest.Stop()
	for {
		select {
		case item := <-w.queue:
			w.commit(item)
			if w.wrote { // looking for what is due is no work
				w.wrote = false
				rest.Reset(restAfter)
			}
		case <-rest.C:
			w.session.shrink()
			w.rested()
		case <-w.stop:
			// Nobody sends any more: drain and end.
			select {
			case item := <-w.queue:
				w.commit(item)
			default:
				return
			}
		}
	}
}

// commit runs the first write and all that wait behind it in one transaction.
//
// Nearly always all of them succeed, so they first go without savepoints, which
// cost as much as the statements between them. When one fails with half of its
// work done, all run again, each under a savepoint; when the transaction fails
// as a whole, each runs by itself, so that only those fail that are to blame.
func (w *writer) commit(first *write) {
	if !first.take() {
		return
	}
	group, err := w.transact(first, w.next, together)
	if errors.Is(err, errHalfDone) && len(group) > 1 {
		_, err = w.transact(group[0], following(group[1:]), apart)
	}
	w.last = len(group)
	for _, item := range group {
		failure := err
		if err != nil && len(group) > 1 {
			_, failure = w.transact(item, nobody, together)
		}
		if failure != nil && !errors.Is(failure, errHalfDone) {
			item.err = failure
		}
		close(item.done)
	}
}

// isolation says what becomes of the others when one write of a group fails.
type isolation string

const (
	together isolation = "together" // all are taken back, with errHalfDone
	apart    isolation = "apart"    // only that one is
)

// errHalfDone tells that a write of the group failed after it had changed
// something. Its caller gets its own error.
var errHalfDone = errors.New("a write failed half done")

// transact runs the first write, and those that more finds, in one transaction.
// The error is for the group as a whole.
func (w *writer) transact(first *write, more func(size int) *write, how isolation) (group []*write, err error) {
	began := time.Now()
	tx := &transaction{session: w.session}
	group, err = w.runGroup(tx, groupOf{first: first, more: more, how: how})
	w.wrote = w.wrote || tx.worked
	if err == nil {
		err = w.session.exec("COMMIT")
	}
	if err != nil {
		// After some failures SQLite has rolled back already; then this
		// one fails, which changes nothing.
		_ = w.session.exec("ROLLBACK")
		w.commits.RolledBack()
		return group, fmt.Errorf("commit: %w", err)
	}
	w.commits.Committed(len(group), time.Since(began))
	if len(tx.hints) > 0 {
		w.deliver(tx.hints)
	}
	return group, nil
}

// groupOf is who is to share a transaction.
type groupOf struct {
	first *write
	more  func(size int) *write
	how   isolation
}

// runGroup begins a transaction and runs writes in it until there are no more,
// or one fails that would take the others with it.
func (w *writer) runGroup(tx *transaction, of groupOf) (group []*write, err error) {
	half := false
	for item := of.first; item != nil; item = of.more(len(group)) {
		group = append(group, item)
		if half {
			continue // it comes along when they run again
		}
		if len(group) == 1 {
			if err := w.session.exec("BEGIN IMMEDIATE"); err != nil {
				return group, err
			}
		}
		if of.how == apart {
			if err := w.runApart(tx, item); err != nil {
				return group, err
			}
			continue
		}
		hints := len(tx.hints)
		tx.wrote = false
		if item.err = item.run(tx); item.err != nil {
			tx.hints = tx.hints[:hints]
			half = tx.wrote || fromSQLite(item.err)
		}
	}
	if half {
		return group, errHalfDone
	}
	return group, nil
}

// following is the rest of a group whose members are known.
func following(rest []*write) func(int) *write {
	return func(size int) *write {
		if size > len(rest) {
			return nil
		}
		return rest[size-1]
	}
}

// fromSQLite tells a failure after which SQLite may have rolled back from one
// that a closure has thought of.
func fromSQLite(err error) bool {
	var cause *raw.Error
	return errors.As(err, &cause)
}

// nobody is who follows a write that is run by itself.
func nobody(int) *write { return nil }

// next is the write at the head of the queue; nil when none waits or the group
// is full.
//
// The callers of the group before have just been woken and are about to write
// again: while this group is the smaller one, they are let run first. Without
// that, groups come out half as large. It waits for no time, so a lone writer
// loses nothing.
func (w *writer) next(size int) *write {
	if size >= maxWrites {
		return nil
	}
	for yields := 0; ; yields++ {
		select {
		case item := <-w.queue:
			if item.take() {
				return item
			}
			continue
		default:
		}
		if size >= w.last || yields >= maxYields {
			return nil
		}
		runtime.Gosched()
	}
}

// runApart runs a write under a savepoint, so that it takes back its own changes
// only when it fails.
func (w *writer) runApart(tx *transaction, item *write) error {
	if err := w.session.exec("SAVEPOINT item"); err != nil {
		return err
	}
	hints := len(tx.hints)
	if item.err = item.run(tx); item.err != nil {
		tx.hints = tx.hints[:hints]
		if err := w.session.exec("ROLLBACK TO item"); err != nil {
			// With some failures, such as a full disk, SQLite has rolled back
			// everything and knows the savepoint no more: then the failure is
			// what there is to tell.
			if fromSQLite(item.err) {
				return item.err
			}
			return err
		}
	}
	return w.session.exec("RELEASE item")
}

// run runs the closure. The writer is everybody's: a panic is the closure's
// failure and no more.
func (item *write) run(tx *transaction) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = sqlstore.Panicked(cause)
		}
	}()
	// A write that was interrupted would be half done: it gets a context that
	// does not end.
	return item.closure(context.Background(), tx)
}

// close commits what is queued and closes the connection.
func (w *writer) close() error {
	w.mu.Lock()
	if !w.closing {
		w.closing = true
		close(w.stop)
	}
	w.mu.Unlock()
	<-w.ended
	return w.session.close()
}

// transaction is what a closure sees of the group's transaction.
type transaction struct {
	session *session
	hints   []string
	wrote   bool // the write that runs may have changed something
	worked  bool // one of the group's may have
}

// Run implements sqlstore.Conn.
func (t *transaction) Run(_ context.Context, batch *sqlstore.Batch) error {
	t.wrote = t.wrote || slices.ContainsFunc(batch.Statements, changes)
	t.worked = t.worked || t.wrote
	return t.session.run(batch)
}

// changes reports whether a statement may be more than a question.
func changes(statement sqlstore.Statement) bool {
	return !strings.HasPrefix(strings.TrimLeft(statement.SQL, " \t\n"), "SELECT")
}

// Finish implements sqlstore.Tx. Others of the group may come after it.
func (t *transaction) Finish(ctx context.Context, batch *sqlstore.Batch) error {
	return t.Run(ctx, batch)
}

// Hint implements sqlstore.Tx.
func (t *transaction) Hint(payload string) { t.hints = append(t.hints, payload) }

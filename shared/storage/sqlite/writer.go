package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	modernc "modernc.org/sqlite"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
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
	db         *sql.DB
	conn       *sql.Conn
	statements statements
	deliver    func(hints []string)
	commits    sqlstore.Commits

	queue   chan *write
	last    int           // size of the group before; only the loop uses it
	stop    chan struct{} // closed: take what is queued, then end
	ended   chan struct{}
	mu      sync.RWMutex // guards the closing of stop against sends to queue
	closing bool
}

func openWriter(ctx context.Context, config Config, deliver func([]string)) (*writer, error) {
	db, err := sql.Open("sqlite", source(config.Path))
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	w := &writer{
		db: db, conn: conn, deliver: deliver, commits: config.Commits,
		queue: make(chan *write, writeQueue), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	w.statements.prepare = conn.PrepareContext
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
	for {
		select {
		case item := <-w.queue:
			w.commit(item)
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
// When that fails as a whole, each is run again by itself, so that only those
// fail that are to blame.
func (w *writer) commit(first *write) {
	if !first.take() {
		return
	}
	group, err := w.transact(first, w.next)
	w.last = len(group)
	for _, item := range group {
		failure := err
		if err != nil && len(group) > 1 {
			_, failure = w.transact(item, nobody)
		}
		if failure != nil {
			item.err = failure
		}
		close(item.done)
	}
}

// transact runs the first write, and those that more finds, in one transaction.
// The error is for the group as a whole.
func (w *writer) transact(first *write, more func(size int) *write) (group []*write, err error) {
	// A statement that was interrupted would leave its write half done, and a
	// context that can end costs a goroutine per statement.
	ctx := context.Background()

	began := time.Now()
	tx := &transaction{statements: &w.statements}
	group, err = w.runGroup(ctx, tx, first, more)
	if err == nil {
		err = w.statements.exec(ctx, "COMMIT")
	}
	if err != nil {
		// After some failures SQLite has rolled back already; then this
		// one fails, which changes nothing.
		_ = w.statements.exec(ctx, "ROLLBACK")
		w.commits.RolledBack()
		return group, fmt.Errorf("commit: %w", err)
	}
	w.commits.Committed(len(group), time.Since(began))
	if len(tx.hints) > 0 {
		w.deliver(tx.hints)
	}
	return group, nil
}

// runGroup begins a transaction and runs writes in it until there are no more.
// Each has a savepoint, so that one that fails takes back its own changes only.
func (w *writer) runGroup(ctx context.Context, tx *transaction, first *write, more func(size int) *write) (group []*write, err error) {
	for item := first; item != nil; item = more(len(group)) {
		group = append(group, item)
		if len(group) == 1 {
			if err := w.statements.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
				return group, err
			}
		}
		if err := w.runWrite(ctx, tx, item); err != nil {
			return group, err
		}
	}
	return group, nil
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

func (w *writer) runWrite(ctx context.Context, tx *transaction, item *write) error {
	if err := w.statements.exec(ctx, "SAVEPOINT item"); err != nil {
		return err
	}
	hints := len(tx.hints)
	if item.err = item.run(ctx, tx); item.err != nil {
		tx.hints = tx.hints[:hints]
		if err := w.statements.exec(ctx, "ROLLBACK TO item"); err != nil {
			// With some failures, such as a full disk, SQLite has rolled back
			// everything and knows the savepoint no more: then the failure is
			// what there is to tell.
			if cause := (*modernc.Error)(nil); errors.As(item.err, &cause) {
				return item.err
			}
			return err
		}
	}
	return w.statements.exec(ctx, "RELEASE item")
}

// run runs the closure. The writer is everybody's: a panic is the closure's
// failure and no more.
func (item *write) run(ctx context.Context, tx *transaction) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = sqlstore.Panicked(cause)
		}
	}()
	return item.closure(ctx, tx)
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
	return errors.Join(w.statements.close(), w.conn.Close(), w.db.Close())
}

// transaction is what a closure sees of the group's transaction.
type transaction struct {
	statements *statements
	hints      []string
}

// Run implements sqlstore.Conn.
func (t *transaction) Run(ctx context.Context, batch *sqlstore.Batch) error {
	return t.statements.run(ctx, batch)
}

// Hint implements sqlstore.Tx.
func (t *transaction) Hint(payload string) { t.hints = append(t.hints, payload) }

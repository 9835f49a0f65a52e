package sqlstore

import (
	"context"
	"errors"
)

var (
	// ErrClosed is what every call after Close returns.
	ErrClosed = errors.New("storage: closed")
	// ErrRowsLocked is what a write returns that has waited its time for rows
	// which another transaction holds locked.
	ErrRowsLocked = errors.New("storage: rows are locked by another transaction")
)

// Conn runs statements.
type Conn interface {
	// Run runs a batch's statements in order and stops at the first error.
	Run(ctx context.Context, batch *Batch) error
}

// Tx is a write transaction.
type Tx interface {
	Conn
	// Finish runs the transaction's last batch, perhaps together with the
	// commit: whatever comes of it, nothing can be run or taken back afterwards.
	// A closure that ends without it has run its last batch, too.
	Finish(ctx context.Context, batch *Batch) error
	// Hint tells all listeners on the database, once the transaction has
	// committed. Equal payloads of one transaction may arrive as one.
	Hint(payload string)
}

// Hint is what Tx.Hint told of.
type Hint struct {
	Payload string
	Own     bool // this process committed it
}

// Driver is a database, as a storage driver supplies it. Its Run is for
// reading: each batch sees what was committed when it began, or later.
type Driver interface {
	Conn

	// Write runs the closure in a transaction and commits. The closure may run
	// more than once. Its error rolls back and is returned, wrapped in
	// storage.ErrInvalidData when the database refused the data.
	Write(ctx context.Context, closure func(ctx context.Context, tx Tx) error) error

	// Listen calls hear for the hints of every process on the database, from
	// one goroutine, until the context ends or the driver closes; it blocks,
	// and returns nil.
	Listen(ctx context.Context, hear func(Hint)) error

	// Dialect says how this database's SQL differs.
	Dialect() Dialect

	// Close waits for writes under way. It may be called twice.
	Close() error
}

// Dialect is what differs between the databases.
type Dialect struct {
	// Name is the directory of the migrations.
	Name string

	// ForUpdate ends a SELECT whose rows the transaction goes on to change.
	// SQLite has one writer at a time and needs no row locks.
	ForUpdate string

	// SkipLocked is ForUpdate for rows that the transaction can do without:
	// those that another one holds are passed over instead of waited for.
	SkipLocked string

	// TableCount counts the tables of the name $1 in the service's schema.
	TableCount string

	// Pipelines is how many merged batches of one method may run at once; 0
	// leaves merging to the driver.
	Pipelines int

	// RewritesIndexes is for a database whose UPDATE rewrites the index entries
	// of every column that it sets, also to the same value.
	RewritesIndexes bool
}

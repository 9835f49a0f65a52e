// Package storage is the one door to the databases: the records, the errors
// and the four roles (Workers, Flows, Tasks, Queue) that a driver implements.
// A service is handed its own role and nothing else.
//
// Rules that hold for every role:
//
//   - A method is one whole atomic step. There is no Begin or Commit, and
//     nobody outside a driver sees a transaction.
//   - Methods that take a batch return one outcome per item, in the order
//     given; a failed item leaves the others untouched. The second result is
//     for failures of the whole call (connection lost, context ended), after
//     which any or none of the batch may be durable: repeat it, every method
//     says how a repeat is answered.
//   - A nil error means durable: the change survives power loss.
//   - Times are handed in, UTC, cut to the microsecond (see Now); a driver
//     never asks a clock. The zero time.Time is stored as NULL.
//   - Raw JSON goes in and comes out byte for byte. The caller has checked it.
//   - Text for people (names, node keys, messages, addresses, who did it) may
//     hold anything: what no database can store of it, NUL bytes and what is
//     not UTF-8, is stored as U+FFFD. Other text, which things are found by,
//     and raw JSON are never altered: the outcome of an item that brings such
//     bytes is ErrInvalidText, and where a method has no outcomes the whole
//     call fails with it. Nothing is found by such an id: it is unknown.
//   - Errors are told apart with errors.Is against the sentinels in this
//     package. Callers never see SQL, drivers never see HTTP.
package storage

import (
	"context"
	"errors"
	"time"
)

// The outcomes a caller may act on.
var (
	ErrNotFound     = errors.New("storage: not found")
	ErrConflict     = errors.New("storage: already exists")
	ErrEnded        = errors.New("storage: already ended")
	ErrLeaseHeld    = errors.New("storage: lease held by another owner")
	ErrLeaseLost    = errors.New("storage: lease lost")
	ErrInboxPending = errors.New("storage: events arrived that the step has not applied")
	ErrMoved        = errors.New("storage: the task is held or has moved on")
	ErrClaimLost    = errors.New("storage: claim lost")

	// ErrPageTooLarge: fewer tasks would fit.
	ErrPageTooLarge = errors.New("storage: the page's tasks hold more bytes than a page may")

	// ErrInvalidText: an id, another text that things are found by, or raw JSON
	// holds a NUL byte or is not UTF-8; the rules above say more.
	ErrInvalidText = errors.New("storage: text holds a NUL byte or is not UTF-8")
	// ErrInvalidData: the database refuses the data, by a constraint or for its
	// size; repeating will not help.
	ErrInvalidData = errors.New("storage: the database refuses the data; repeating will not help")

	ErrSchemaOlder = errors.New("storage: database schema is older than this binary")
	ErrSchemaNewer = errors.New("storage: database schema is newer than this binary")
	ErrLocked      = errors.New("storage: database file is in use by another process")
	// ErrUnfinishedCopy: the database holds a part of another one's rows.
	ErrUnfinishedCopy = errors.New("storage: database is the target of a copy that has not finished")
)

// Now is the clock's time in the form that every record uses: UTC, cut to the
// microsecond, without a monotonic reading.
func Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Base is what every role offers besides its own methods.
type Base interface {
	// Ready is nil when the database answers and its schema holds all that this
	// binary needs; otherwise ErrSchemaOlder, ErrUnfinishedCopy or the
	// connection's error. A schema that a newer binary has migrated since this
	// one opened it is no fault: the versions before go on serving until they
	// are replaced.
	Ready(ctx context.Context) error
	// Close lets writes under way finish, then closes the database. Calls
	// after Close fail. It may be called twice.
	Close() error
}

// Outcomes holds one result per item of a batch, in the batch's order: nil, or
// one of the sentinels.
type Outcomes []error

// ListOptions selects one page of a list that is ordered newest first by id.
// Give Cursor (the Next of the page before; constant cost at any depth) or
// Offset, not both.
type ListOptions struct {
	Limit  int // 1 to 1000
	Offset int
	Cursor string
}

// MaxTotal is where the Total of a list of tasks ends, so that it takes some
// milliseconds however many tasks have ended.
const MaxTotal = 100_000

// Page is one page of a list. Items is never nil. Total counts all matching
// rows; one of tasks that is MaxTotal or more is the least that there are, and by
// Offset it grows with the pages, so that it is never reached while there is a
// next one. Next is "" on the last page.
type Page[T any] struct {
	Items []T
	Total int
	Next  string
}

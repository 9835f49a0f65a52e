// Package raw is SQLite without database/sql in between: what the statements of
// every task pay for is SQLite itself and little else. It owns the memory that
// is shared with SQLite, and hands out copies of it only; when to run what, and
// what an error means, it leaves to its caller.
//
// What needs no speed, such as migrations and copies, goes through database/sql.
package raw

import (
	"errors"
	"fmt"
	"math/bits"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Conn is a connection. It serves one goroutine at a time.
type Conn struct {
	tls *libc.TLS
	db  uintptr

	// results is where SQLite puts the two pointers that a call may return.
	results uintptr

	// texts is where the texts are that the running statement was given.
	texts     uintptr
	textsSize int
}

const (
	pointerSize = bits.UintSize / 8

	// NOMUTEX: a connection is never in two hands at once, and SQLite need not
	// lock it for each call.
	openFlags = sqlite3.SQLITE_OPEN_READWRITE | sqlite3.SQLITE_OPEN_CREATE |
		sqlite3.SQLITE_OPEN_URI | sqlite3.SQLITE_OPEN_NOMUTEX
)

// Open opens the file of a URI, and makes it when it does not exist.
func Open(uri string) (*Conn, error) {
	conn := &Conn{tls: libc.NewTLS()}
	if err := conn.open(uri); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (c *Conn) open(uri string) (err error) {
	if c.results, err = c.allocate(2 * pointerSize); err != nil {
		return err
	}
	name, err := libc.CString(uri)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, name)
	code := sqlite3.Xsqlite3_open_v2(c.tls, name, c.results, openFlags, 0)
	c.db = c.result(0) // there is one also when it failed, to tell why
	if code == sqlite3.SQLITE_OK {
		code = sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	}
	return c.failure(code)
}

// Interrupt makes the statement that runs fail. Any goroutine may call it before
// Close is called; see Interrupted.
func (c *Conn) Interrupt() {
	tls := libc.NewTLS() // the connection's own is in use
	defer tls.Close()
	sqlite3.Xsqlite3_interrupt(tls, c.db)
}

// Changes is how many rows the last INSERT, UPDATE or DELETE wrote.
func (c *Conn) Changes() int64 { return sqlite3.Xsqlite3_changes64(c.tls, c.db) }

// Close closes the connection; its statements are closed before.
func (c *Conn) Close() error {
	err := c.failure(sqlite3.Xsqlite3_close(c.tls, c.db))
	if err != nil {
		return fmt.Errorf("close connection: %w", err)
	}
	sqlite3.Xsqlite3_free(c.tls, c.results)
	sqlite3.Xsqlite3_free(c.tls, c.texts)
	c.tls.Close()
	return nil
}

// result is what SQLite has put in one of the two places of results.
func (c *Conn) result(place uintptr) uintptr {
	return libc.AtomicLoadPUintptr(c.results + place*pointerSize)
}

func (c *Conn) allocate(size int) (uintptr, error) {
	memory := sqlite3.Xsqlite3_malloc64(c.tls, uint64(size))
	if memory == 0 {
		return 0, c.failure(sqlite3.SQLITE_NOMEM)
	}
	return memory, nil
}

// keptTexts bounds the memory that a connection keeps for the texts of its
// statements between two of them.
const keptTexts = 1 << 20

// makeRoom makes room for texts of that size. None is nowhere: the address of an
// empty text would be NULL, and so would be its value.
func (c *Conn) makeRoom(size int) (err error) {
	if size < c.textsSize {
		return nil
	}
	c.dropTexts()
	size = max(4096, size+size/2)
	if c.texts, err = c.allocate(size); err == nil {
		c.textsSize = size
	}
	return err
}

func (c *Conn) dropTexts() {
	sqlite3.Xsqlite3_free(c.tls, c.texts)
	c.texts, c.textsSize = 0, 0
}

// Error is what SQLite has refused, or failed in.
type Error struct {
	Code    int // the extended one
	Message string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// Interrupted tells that Interrupt has ended a statement.
func Interrupted(err error) bool {
	var cause *Error
	return errors.As(err, &cause) && cause.Code == sqlite3.SQLITE_INTERRUPT
}

// failure is the error of a result code; nil for success.
func (c *Conn) failure(code int32) error {
	if code == sqlite3.SQLITE_OK {
		return nil
	}
	message := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, code))
	// What the connection tells is of its last failure, which may be another.
	if c.db != 0 && sqlite3.Xsqlite3_extended_errcode(c.tls, c.db) == code {
		if told := libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db)); told != message {
			message += ": " + told
		}
	}
	return &Error{Code: int(code), Message: message}
}

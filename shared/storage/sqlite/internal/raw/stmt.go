package raw

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Stmt is a prepared statement of its connection.
type Stmt struct {
	conn   *Conn
	handle uintptr
	// arguments has the place of each parameter's argument. SQLite counts
	// parameters as they come in the text: in "a = $2 AND b = $1", $2 is the first.
	arguments []int
	needed    int // the number of arguments
}

// Prepare makes a statement of a text with the placeholders $1, $2 and so on.
func (c *Conn) Prepare(text string) (*Stmt, error) {
	copied, err := libc.CString(text)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, copied)
	// PERSISTENT: it is going to be kept for long.
	code := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, copied, -1, sqlite3.SQLITE_PREPARE_PERSISTENT,
		c.results, c.results+pointerSize)
	if err := c.failure(code); err != nil {
		return nil, err
	}
	stmt := &Stmt{conn: c, handle: c.result(0)}
	rest := libc.GoString(c.result(1))
	if stmt.handle == 0 || strings.TrimSpace(rest) != "" {
		err = fmt.Errorf("not one statement: %q", text)
	} else {
		err = stmt.readParameters()
	}
	if err != nil {
		return nil, errors.Join(err, stmt.Close())
	}
	return stmt, nil
}

func (s *Stmt) readParameters() error {
	s.arguments = make([]int, sqlite3.Xsqlite3_bind_parameter_count(s.conn.tls, s.handle))
	for i := range s.arguments {
		name := libc.GoString(sqlite3.Xsqlite3_bind_parameter_name(s.conn.tls, s.handle, int32(i+1)))
		number, err := strconv.Atoi(strings.TrimPrefix(name, "$"))
		if err != nil || number < 1 {
			return fmt.Errorf("parameter %q is not of the form $1", name)
		}
		s.arguments[i] = number - 1
		s.needed = max(s.needed, number)
	}
	return nil
}

// Close frees the statement.
func (s *Stmt) Close() error {
	return s.conn.failure(sqlite3.Xsqlite3_finalize(s.conn.tls, s.handle))
}

// Run runs the statement to its end, and calls row, unless nil, for each row of
// the result, until it returns an error. row calls Scan and runs nothing.
func (s *Stmt) Run(args []any, row func(*Stmt) error) error {
	if err := s.bind(args); err != nil {
		return err
	}
	defer s.reset()
	for {
		switch code := sqlite3.Xsqlite3_step(s.conn.tls, s.handle); code {
		case sqlite3.SQLITE_DONE:
			return nil
		case sqlite3.SQLITE_ROW:
			if row == nil {
				continue
			}
			if err := row(s); err != nil {
				return err
			}
		default:
			return s.conn.failure(code)
		}
	}
}

// reset makes the statement ready to run again. The code is that of the step
// before. The values stay bound to texts that are no more, which nobody reads:
// the next run binds all of them anew.
func (s *Stmt) reset() {
	sqlite3.Xsqlite3_reset(s.conn.tls, s.handle)
	if s.conn.textsSize > keptTexts {
		s.conn.dropTexts()
	}
}

// bind gives all parameters their values. The texts are copied one behind the
// other to where the connection keeps them until reset.
func (s *Stmt) bind(args []any) error {
	if len(args) != s.needed {
		return fmt.Errorf("%d arguments for a statement of %d", len(args), s.needed)
	}
	size := 0
	for _, arg := range args {
		if text, ok := arg.(string); ok {
			size += len(text)
		}
	}
	if err := s.conn.makeRoom(size); err != nil {
		return err
	}
	at := s.conn.texts
	for i, place := range s.arguments {
		var code int32
		tls, parameter := s.conn.tls, int32(i+1)
		switch arg := args[place].(type) {
		case string:
			copy(libc.GoBytes(at, len(arg)), arg)
			// 0: SQLite neither copies nor frees it.
			code = sqlite3.Xsqlite3_bind_text64(tls, s.handle, parameter, at, uint64(len(arg)), 0, sqlite3.SQLITE_UTF8)
			at += uintptr(len(arg))
		case int64:
			code = sqlite3.Xsqlite3_bind_int64(tls, s.handle, parameter, arg)
		case int:
			code = sqlite3.Xsqlite3_bind_int64(tls, s.handle, parameter, int64(arg))
		case float64:
			code = sqlite3.Xsqlite3_bind_double(tls, s.handle, parameter, arg)
		case nil:
			code = sqlite3.Xsqlite3_bind_null(tls, s.handle, parameter)
		default:
			return fmt.Errorf("argument $%d is a %T", place+1, arg)
		}
		if err := s.conn.failure(code); err != nil {
			return fmt.Errorf("argument $%d: %w", place+1, err)
		}
	}
	return nil
}

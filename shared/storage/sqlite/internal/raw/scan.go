package raw

import (
	"database/sql"
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Scan copies the columns of the present row. It may be called within the row
// function of Run. A NULL fits a *[]byte and a sql.Scanner only.
func (s *Stmt) Scan(dest ...any) error {
	if columns := int(sqlite3.Xsqlite3_data_count(s.conn.tls, s.handle)); len(dest) != columns {
		return fmt.Errorf("scan %d columns into %d places", columns, len(dest))
	}
	for i, place := range dest {
		if err := s.scanColumn(int32(i), place); err != nil {
			name := libc.GoString(sqlite3.Xsqlite3_column_name(s.conn.tls, s.handle, int32(i)))
			return fmt.Errorf("scan column %d, %q: %w", i+1, name, err)
		}
	}
	return nil
}

func (s *Stmt) scanColumn(column int32, dest any) error {
	// The type is asked for first: reading a value may change it.
	kind := sqlite3.Xsqlite3_column_type(s.conn.tls, s.handle, column)
	switch dest := dest.(type) {
	case *string:
		if kind == sqlite3.SQLITE_TEXT {
			*dest = string(s.bytes(column))
			return nil
		}
	case *int64:
		if kind == sqlite3.SQLITE_INTEGER {
			*dest = sqlite3.Xsqlite3_column_int64(s.conn.tls, s.handle, column)
			return nil
		}
	case *int:
		if kind == sqlite3.SQLITE_INTEGER {
			*dest = int(sqlite3.Xsqlite3_column_int64(s.conn.tls, s.handle, column))
			return nil
		}
	case **int64:
		switch kind {
		case sqlite3.SQLITE_INTEGER:
			*dest = new(sqlite3.Xsqlite3_column_int64(s.conn.tls, s.handle, column))
			return nil
		case sqlite3.SQLITE_NULL:
			*dest = nil
			return nil
		}
	case *float64:
		if kind == sqlite3.SQLITE_FLOAT {
			*dest = sqlite3.Xsqlite3_column_double(s.conn.tls, s.handle, column)
			return nil
		}
	case *[]byte:
		switch kind {
		case sqlite3.SQLITE_TEXT, sqlite3.SQLITE_BLOB:
			*dest = append([]byte{}, s.bytes(column)...)
			return nil
		case sqlite3.SQLITE_NULL:
			*dest = nil
			return nil
		}
	case sql.Scanner:
		return dest.Scan(s.value(column, kind))
	}
	return fmt.Errorf("a %T does not fit into a %T", s.value(column, kind), dest)
}

// value is a column as a Go value, copied.
func (s *Stmt) value(column, kind int32) any {
	switch kind {
	case sqlite3.SQLITE_INTEGER:
		return sqlite3.Xsqlite3_column_int64(s.conn.tls, s.handle, column)
	case sqlite3.SQLITE_FLOAT:
		return sqlite3.Xsqlite3_column_double(s.conn.tls, s.handle, column)
	case sqlite3.SQLITE_TEXT:
		return string(s.bytes(column))
	case sqlite3.SQLITE_BLOB:
		return append([]byte{}, s.bytes(column)...)
	}
	return nil
}

// bytes is a text or a blob where SQLite has it, until the next step.
func (s *Stmt) bytes(column int32) []byte {
	// column_text before column_bytes, which counts what the former has made.
	at := sqlite3.Xsqlite3_column_text(s.conn.tls, s.handle, column)
	size := sqlite3.Xsqlite3_column_bytes(s.conn.tls, s.handle, column)
	if size == 0 {
		return nil // at may be nowhere
	}
	return libc.GoBytes(at, int(size))
}

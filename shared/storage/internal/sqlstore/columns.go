package sqlstore

import (
	"encoding/json"
	"fmt"
	"time"
)

// micros is a time as a column holds it: microseconds since 1970, NULL for the
// zero time.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// text is raw JSON as a column holds it: TEXT, NULL for nil. As []byte SQLite
// would store a BLOB.
func text(raw json.RawMessage) any {
	if raw == nil {
		return nil
	}
	return string(raw)
}

// timeColumn scans a column of micros.
type timeColumn struct{ dest *time.Time }

func intoTime(dest *time.Time) timeColumn { return timeColumn{dest} }

// Scan implements sql.Scanner, which both drivers honour.
func (c timeColumn) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*c.dest = time.Time{}
	case int64:
		*c.dest = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("time column holds a %T", value)
	}
	return nil
}

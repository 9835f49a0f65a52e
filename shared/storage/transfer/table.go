package transfer

import (
	"fmt"
	"slices"
	"strings"
)

// table is a table as a database's catalog has it.
type table struct {
	name       string
	columns    []column
	key        []string // the primary key's columns, in its order
	references []string // the tables that its foreign keys point to
}

type column struct {
	name  string
	class class
}

// class is what a column holds, whatever the database calls it.
type class string

const (
	classText    class = "text"
	classInteger class = "integer" // 64 bits
	classReal    class = "real"    // 64 bits
)

// classOf knows the types that the migrations use. A new one needs a thought
// about how its values compare across databases, so it is refused.
func classOf(name string) (class, error) {
	switch strings.ToLower(name) {
	case "text":
		return classText, nil
	case "integer", "bigint":
		return classInteger, nil
	case "real", "double precision":
		return classReal, nil
	default:
		return "", fmt.Errorf("%w: no rule for values of type %s", ErrSchema, name)
	}
}

// sameTables returns the tables when both sides have them alike. At equal
// versions they do, unless somebody changed a table by hand.
func sameTables(from, to []table) ([]table, error) {
	for _, list := range [][2][]table{{from, to}, {to, from}} {
		for _, one := range list[0] {
			other := slices.IndexFunc(list[1], func(t table) bool { return t.name == one.name })
			if other < 0 {
				return nil, fmt.Errorf("%w: only one side has a table %s", ErrSchema, one.name)
			}
			if same := list[1][other]; !slices.Equal(one.columns, same.columns) || !slices.Equal(one.key, same.key) {
				return nil, fmt.Errorf("%w: table %s has other columns at the source than at the target", ErrSchema, one.name)
			}
		}
	}
	return inOrder(from)
}

// inOrder puts tables behind those that they refer to.
func inOrder(tables []table) ([]table, error) {
	var ordered []table
	placed := map[string]bool{}
	for len(ordered) < len(tables) {
		before := len(ordered)
		for _, one := range tables {
			ready := !slices.ContainsFunc(one.references, func(name string) bool { return name != one.name && !placed[name] })
			if ready && !placed[one.name] {
				ordered, placed[one.name] = append(ordered, one), true
			}
		}
		if len(ordered) == before {
			return nil, fmt.Errorf("%w: the foreign keys go round in a circle", ErrSchema)
		}
	}
	return ordered, nil
}

func (t table) columnNames() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

// keyOf takes the primary key out of a row.
func (t table) keyOf(row []any) []any {
	var key []any
	for _, name := range t.key {
		key = append(key, row[slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })])
	}
	return key
}

// The statements below are the same for both databases: a key of text compares
// by byte in each, which the catalogs are asked about.

func (t table) countSQL() string { return "SELECT COUNT(*) FROM " + quote(t.name) }

// rowsSQL selects all rows in the order of the key.
func (t table) rowsSQL() string {
	return t.selectSQL() + " ORDER BY " + list(t.key, "")
}

// rowsBehindSQL is rowsSQL behind the key that is given as arguments.
func (t table) rowsBehindSQL() string {
	holders := make([]string, len(t.key))
	for i := range holders {
		holders[i] = fmt.Sprintf("$%d", i+1)
	}
	return t.selectSQL() + " WHERE (" + list(t.key, "") + ") > (" + strings.Join(holders, ", ") + ") ORDER BY " + list(t.key, "")
}

func (t table) lastKeySQL() string {
	return "SELECT " + list(t.key, "") + " FROM " + quote(t.name) + " ORDER BY " + list(t.key, " DESC") + " LIMIT 1"
}

func (t table) selectSQL() string {
	return "SELECT " + list(t.columnNames(), "") + " FROM " + quote(t.name)
}

// list joins quoted names, each with what follows it.
func list(names []string, suffix string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name) + suffix
	}
	return strings.Join(quoted, ", ")
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

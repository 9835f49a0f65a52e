package transfer

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInOrder_PutsTablesBehindThoseTheyReferTo(t *testing.T) {
	t.Parallel()
	ordered, err := inOrder([]table{{name: "a", references: []string{"c", "a"}}, {name: "b"}, {name: "c", references: []string{"b"}}})
	require.NoError(t, err)
	var names []string
	for _, one := range ordered {
		names = append(names, one.name)
	}
	require.Equal(t, []string{"b", "c", "a"}, names)
	_, err = inOrder([]table{{name: "a", references: []string{"b"}}, {name: "b", references: []string{"a"}}})
	require.ErrorIs(t, err, ErrSchema)
}

func TestSameTables_RefusesWhatDiffers(t *testing.T) {
	t.Parallel()
	text := func(names ...string) (columns []column) {
		for _, name := range names {
			columns = append(columns, column{name: name, class: classText})
		}
		return columns
	}
	one := table{name: "t", columns: text("a", "b"), key: []string{"a"}}
	same, err := sameTables([]table{one}, []table{one})
	require.NoError(t, err)
	require.Equal(t, []table{one}, same)
	for name, other := range map[string][]table{
		"missing":      {},
		"another":      {one, {name: "u"}},
		"columns":      {{name: "t", columns: text("a", "c"), key: one.key}},
		"order":        {{name: "t", columns: text("b", "a"), key: one.key}},
		"class":        {{name: "t", columns: []column{{"a", classText}, {"b", classInteger}}, key: one.key}},
		"other key":    {{name: "t", columns: one.columns, key: []string{"b"}}},
		"longer key":   {{name: "t", columns: one.columns, key: []string{"a", "b"}}},
		"fewer fields": {{name: "t", columns: text("a"), key: one.key}},
	} {
		_, err := sameTables([]table{one}, other)
		require.ErrorIs(t, err, ErrSchema, name)
	}
}

func TestClassOf_KnowsNoOtherTypes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]class{
		"TEXT": classText, "text": classText, "INTEGER": classInteger, "bigint": classInteger, "REAL": classReal, "double precision": classReal,
	} {
		got, err := classOf(name)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, name := range []string{"jsonb", "boolean", "BLOB", "bytea", "timestamp with time zone", ""} {
		_, err := classOf(name)
		require.ErrorIs(t, err, ErrSchema, name)
	}
}

package transfer

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Rows of one table that are not equal are not written alike, however the
// values are cut.
func TestAppendRow_TellsRowsApart(t *testing.T) {
	t.Parallel()
	value := rapid.OneOf(
		rapid.Just[any](nil),
		rapid.Map(rapid.Int64Range(-1, 1), func(n int64) any { return n }),
		rapid.Map(rapid.SampledFrom([]float64{0, 1, -1}), func(n float64) any { return n }),
		rapid.Map(rapid.StringMatching("[nirt\x00\x01]{0,3}"), func(text string) any { return text }),
	)
	rows := rapid.SliceOfN(value, 3, 3)
	rapid.Check(t, func(t *rapid.T) {
		a, b := rows.Draw(t, "a"), rows.Draw(t, "b")
		require.Equal(t, reflect.DeepEqual(a, b), bytes.Equal(appendRow(nil, a), appendRow(nil, b)))
	})
}

func TestNormalize_MakesOneValueOfWhatDatabasesHandOut(t *testing.T) {
	t.Parallel()
	of := table{columns: []column{{"text", classText}, {"whole", classInteger}, {"real", classReal}}, key: []string{"text"}}
	row := []any{[]byte("é"), int64(7), int64(2)}
	require.NoError(t, of.normalize(row))
	require.Equal(t, []any{"é", int64(7), 2.0}, row)
	require.NoError(t, of.normalize([]any{nil, nil, nil}))
	for _, row := range [][]any{{int64(1), int64(7), 2.5}, {"x", "7", 2.5}, {"x", 7.5, 2.5}, {"x", int64(7), "2.5"}, {"x", true, 2.5}} {
		require.ErrorContains(t, of.normalize(row), "holds a")
	}
}

package httpx_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/ids"
)

func query(raw string) *httpx.Query {
	return httpx.NewQuery(httptest.NewRequest(http.MethodGet, "/?"+raw, http.NoBody))
}

func TestQuery_RefusesTextThatNoDatabaseTakes(t *testing.T) {
	t.Parallel()
	q := query("id=%00&flow_id=%ff&name=%C3%A9&cursor=a%00b&page=x")
	require.Equal(t, "é", q.String("name"))
	q.Page(ids.Task)
	err := q.Err()
	require.Equal(t, errs.InvalidArgument, errs.CodeOf(err))
	require.Equal(t, []string{
		"cursor invalid_argument", "flow_id invalid_argument", "id invalid_argument", "page invalid_argument",
	}, faults(t, err))
	require.ErrorContains(t, query("id=%00").Err(), "id: must not contain a NUL character")
	require.ErrorContains(t, query("id=%ff").Err(), "id: must be UTF-8")
}

func TestQuery_NamesATextThatCannotBeReadOnce(t *testing.T) {
	t.Parallel()
	q := query("id=%00")
	q.Required("id")
	require.Len(t, faults(t, q.Err()), 1)
}

func TestQuery_TakesTheSameOneOfTwoSpellingsAlways(t *testing.T) {
	t.Parallel()
	for range 20 {
		require.Equal(t, "a", query("flow_id=b&FlowID=a&flow_id=c").String("flow_id"))
	}
}

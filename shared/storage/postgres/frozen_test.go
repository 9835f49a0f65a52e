package postgres

import (
	"net/url"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
)

// A client that is frozen in a transaction must not keep its locks for ever.
func TestOpen_LetsTheServerEndTransactionsOfAFrozenClient(t *testing.T) {
	t.Parallel()
	driver := setup(t, "frozen")
	require.Equal(t, "5s", idleLimitOf(t, driver))

	name, err := dsn.Parse(os.Getenv(urlVariable))
	require.NoError(t, err)
	name.URL = withSetting(t, name.URL, "100ms")
	driver, err = Open(t.Context(), Config{DSN: name, Schema: "frozen"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, driver.Close()) })
	require.Equal(t, "100ms", idleLimitOf(t, driver), "the operator's own choice")
}

func idleLimitOf(t *testing.T, driver *Driver) (limit string) {
	t.Helper()
	rows, err := driver.pool.Query(t.Context(), "SHOW "+idleLimit)
	require.NoError(t, err)
	limit, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return limit
}

func withSetting(t *testing.T, text, limit string) string {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	values := u.Query()
	values.Set(idleLimit, limit)
	u.RawQuery = values.Encode()
	return u.String()
}

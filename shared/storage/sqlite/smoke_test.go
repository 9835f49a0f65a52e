package sqlite

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	d, err := Open(ctx, Config{Path: filepath.Join(t.TempDir(), "a b%?", "x.db")})
	require.NoError(t, err)
	require.NoError(t, d.Write(ctx, func(ctx context.Context, tx sqlstore.Tx) error {
		var b sqlstore.Batch
		b.Exec("CREATE TABLE x (a TEXT, b BIGINT)")
		return tx.Run(ctx, &b)
	}))
	var a string
	var n int64
	require.NoError(t, d.Write(ctx, func(ctx context.Context, tx sqlstore.Tx) error {
		var b sqlstore.Batch
		b.Query(func(r sqlstore.Row) error { return r.Scan(&a, &n) }, "INSERT INTO x (b, a) VALUES ($2, $1) RETURNING a || $1, b", "q", 7)
		return tx.Run(ctx, &b)
	}))
	require.Equal(t, "qq", a)
	require.Equal(t, int64(7), n)
	require.NoError(t, d.Close())
	m, _ := filepath.Glob("/tmp/nothing*")
	_ = m
}

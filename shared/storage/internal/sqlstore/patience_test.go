package sqlstore

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// silentDriver never answers; it ends with the context, as a connection does
// whose other end has vanished.
type silentDriver struct{ Driver }

func (silentDriver) Run(ctx context.Context, _ *Batch) error {
	<-ctx.Done()
	return ctx.Err()
}

func (d silentDriver) Write(ctx context.Context, _ func(context.Context, Tx) error) error {
	return d.Run(ctx, nil)
}

func TestDB_EveryCallEndsByItself(t *testing.T) {
	t.Parallel()
	db := &DB{driver: silentDriver{}}
	for name, call := range map[string]func(ctx context.Context) error{
		"read":  func(ctx context.Context) error { return db.Read().Run(ctx, &Batch{}) },
		"write": func(ctx context.Context) error { return db.Write(ctx, nil) },
		"try":   func(ctx context.Context) error { return db.TryWrite(ctx, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				require.ErrorIs(t, call(context.Background()), context.DeadlineExceeded)
				require.Equal(t, callTimeout, time.Since(began))

				short, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began = time.Now()
				require.ErrorIs(t, call(short), context.DeadlineExceeded)
				require.Equal(t, time.Second, time.Since(began), "the caller's own deadline")
			})
		})
	}
}

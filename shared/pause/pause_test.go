package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/pause"
)

func TestFor_WaitsThatLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.True(t, pause.For(t.Context(), time.Minute))
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestFor_EndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.False(t, pause.For(ctx, time.Minute))
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestFor_NoTimeStillAsksTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	require.True(t, pause.For(ctx, 0))
	cancel()
	require.False(t, pause.For(ctx, 0))
}

func TestBackoff_DoublesUpToTheMost(t *testing.T) {
	t.Parallel()
	b := pause.Backoff{First: 100 * time.Millisecond, Most: 500 * time.Millisecond}
	for _, ms := range []int{100, 200, 400, 500, 500} {
		want, got := time.Duration(ms)*time.Millisecond, b.Next()
		require.LessOrEqual(t, got, want)
		require.GreaterOrEqual(t, got, want-want/4)
	}
	b.Reset()
	require.LessOrEqual(t, b.Next(), 100*time.Millisecond)
}

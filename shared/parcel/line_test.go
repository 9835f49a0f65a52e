package parcel_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/parcel"
)

func TestLine_GivesOutInOrderUpToAsMany(t *testing.T) {
	t.Parallel()
	line := parcel.NewLine(func(int) int { return 1 })
	for i := range 5 {
		require.True(t, line.Offer(i))
	}
	require.Equal(t, []int{0, 1, 2}, line.Take(t.Context(), <-line.First(), 3))
	require.Equal(t, []int{3, 4}, line.Take(t.Context(), <-line.First(), 3))
	require.Empty(t, line.First())
}

func TestLine_TakesNoMoreThanItHasRoomFor(t *testing.T) {
	t.Parallel()
	const large = 40 << 20
	line := parcel.NewLine(func(n int) int { return n })
	require.True(t, line.Offer(large))
	require.False(t, line.Offer(large))
	require.True(t, line.Offer(1), "what was refused takes no room")
	require.Equal(t, []int{large, 1}, line.Take(t.Context(), <-line.First(), 10))
	require.True(t, line.Offer(large), "what has left makes room")

	small := parcel.NewLine(func(int) int { return 0 })
	offered := 0
	for small.Offer(0) {
		offered++
	}
	require.Positive(t, offered)
	small.Take(t.Context(), <-small.First(), 1)
	require.True(t, small.Offer(0))
	require.False(t, small.Offer(0))
}

func TestLine_GathersAStreamAndDelaysNoLoneItem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		line := parcel.NewLine(func(int) int { return 1 })
		began := time.Now()
		for i := range 3 {
			require.True(t, line.Offer(i))
			require.Equal(t, []int{i}, line.Take(t.Context(), <-line.First(), 10))
		}
		require.True(t, line.Offer(3))
		require.True(t, line.Offer(4))
		require.Equal(t, []int{3, 4}, line.Take(t.Context(), <-line.First(), 10))
		require.Equal(t, began, time.Now(), "so far they come one by one")

		go func() {
			for i := 5; i < 8; i++ {
				line.Offer(i)
				<-time.After(time.Millisecond)
			}
		}()
		require.Equal(t, []int{5, 6, 7}, line.Take(t.Context(), <-line.First(), 10))
		require.Equal(t, 5*time.Millisecond, time.Since(began))

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.True(t, line.Offer(8))
		require.Equal(t, []int{8}, line.Take(ended, <-line.First(), 10))
		require.Equal(t, 5*time.Millisecond, time.Since(began), "nobody gathers at a stop")
	})
}

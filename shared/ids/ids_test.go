package ids_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/ids"
)

func TestValid_TellsIdsFromNames(t *testing.T) {
	t.Parallel()
	require.True(t, ids.Valid(ids.Flow, ids.New(ids.Flow)))
	require.False(t, ids.Valid(ids.Flow, ids.New(ids.Task)))
	require.False(t, ids.Valid(ids.Flow, "flow-control"), "a name may begin like an id")
}

func TestTime_IsWhenTheIDWasMade(t *testing.T) {
	t.Parallel()
	before := time.Now().Truncate(time.Millisecond)
	made, ok := ids.Time(ids.Message, ids.New(ids.Message))
	require.True(t, ok)
	require.False(t, made.Before(before))
	// Ids of one millisecond run ahead of the clock to stay in order.
	require.WithinDuration(t, time.Now(), made, time.Second)
	for _, id := range []string{"", "msg-", ids.New(ids.Task), "msg-6ba7b810-9dad-11d1-80b4-00c04fd430c8"} {
		_, ok := ids.Time(ids.Message, id)
		require.False(t, ok, id)
	}
}

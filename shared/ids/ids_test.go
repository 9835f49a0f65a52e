package ids_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/ids"
)

func TestValid_TellsIdsFromNames(t *testing.T) {
	t.Parallel()
	require.True(t, ids.Valid(ids.Flow, ids.New(ids.Flow)))
	require.False(t, ids.Valid(ids.Flow, ids.New(ids.Task)))
	require.False(t, ids.Valid(ids.Flow, "flow-control"), "a name may begin like an id")
}

package outbox

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
)

func TestPutJob_SaysWhenAndBeforeWhichOthers(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_700_000_000_000).UTC()
	for params, want := range map[string]queueapi.NewJob{
		`{}`:                              {},
		`{"delay_ms":1500,"priority":-3}`: {AvailableAt: 1_700_000_001_500, Priority: -3},
		`{"delay_ms":0}`:                  {},
		`{"delay_ms":"1500"}`:             {},
		`{"delay_ms":-5}`:                 {},
	} {
		x := execution()
		x.RunNo, x.Params = 17, json.RawMessage(params)
		message, err := PutJob(Origin{TaskID: "task-1"}, x, at)
		require.NoError(t, err)
		var job queueapi.NewJob
		require.NoError(t, json.Unmarshal(message.Payload, &job))
		require.Equal(t, want.AvailableAt, job.AvailableAt, params)
		require.Equal(t, want.Priority, job.Priority, params)
		require.Equal(t, 17, job.RunNo)
	}
}

func TestPutJob_LeavesTheInputAsItIs(t *testing.T) {
	t.Parallel()
	x := execution()
	x.Input = json.RawMessage(`"<&>"`)
	message, err := PutJob(Origin{TaskID: "task-1"}, x, time.Now())
	require.NoError(t, err)
	require.Contains(t, string(message.Payload), `"<&>"`)
}

func TestPutJob_IsNeverAvailableTooEarly(t *testing.T) {
	t.Parallel()
	x := execution()
	x.Params = json.RawMessage(`{"delay_ms":1}`)
	message, err := PutJob(Origin{TaskID: "task-1"}, x, time.UnixMicro(1_000_001))
	require.NoError(t, err)
	var job queueapi.NewJob
	require.NoError(t, json.Unmarshal(message.Payload, &job))
	require.Equal(t, int64(1002), job.AvailableAt)
}

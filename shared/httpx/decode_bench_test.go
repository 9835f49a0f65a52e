package httpx_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// One op is the decoding of one request of a pull task: by Unmarshal, and by
// the book.
func BenchmarkUnmarshal(b *testing.B) {
	value := json.RawMessage(`{"input":{"order":"4711","amount":12.5,"lines":["a","b"]},"params":{"currency":"EUR"}}`)
	var batch schedulerapi.JobResults
	for i := range 32 {
		batch.Results = append(batch.Results, schedulerapi.JobResult{
			TaskID: fmt.Sprintf("task-%032d", i), RunID: fmt.Sprintf("run-%032d", i), Result: value, WorkerID: "worker-1",
			FinishedAt: 1_700_000_000_000,
		})
	}
	for _, one := range []struct {
		name    string
		request any
	}{
		{"Poll", queueapi.PollRequest{WorkerID: "worker-1", Services: []string{"orders"}, MaxJobs: 8, WaitMS: 20_000}},
		{"Complete", queueapi.CompleteRequest{QueueID: "job-00000000000000000000000000000001", Result: value, WorkerID: "worker-1", Token: "token-1"}},
		{"Results32", batch},
		{"Create", schedulerapi.CreateTaskRequest{FlowID: "flow-00000000000000000000000000000001", Params: value}},
	} {
		body, err := json.Marshal(one.request)
		require.NoError(b, err)
		for _, way := range []struct {
			name      string
			unmarshal func([]byte, any, httpx.Strictness) error
		}{{"Unmarshal", httpx.Unmarshal}, {"ByTheBook", httpx.UnmarshalByTheBook}} {
			b.Run(one.name+"/"+way.name, func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					into := reflect.New(reflect.TypeOf(one.request)).Interface()
					if err := way.unmarshal(body, into, httpx.Lenient); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

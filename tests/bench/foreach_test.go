//go:build unix

package bench

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	slots = 16 // of the only worker
	// promisedGrowth is how much more an item of the largest array may cost
	// than one of the smallest. On a machine that has nothing else to do it
	// costs the same; a cost that grew with the number would be a hundred times
	// as high.
	promisedGrowth = 3
)

// sizes are numbers of items, the smallest first.
var sizes = []int{100, 1000, 10_000}

// BenchmarkForeach sends the items of an array through the queue to one pull
// worker, from the signal that brings the array until the end of the task. The
// task's params would be sent with each item.
func BenchmarkForeach(b *testing.B) {
	onEach(b, func(b *testing.B, client *suitetest.Client, url string) {
		suitetest.Serve(b, suitetest.Addr(b), suitetest.Command{Program: suitetest.DemoWorker, Args: []string{
			"--base=" + url, "--mode=pull", fmt.Sprintf("--slots=%d", slots),
		}})
		client.AwaitWorker(b, "transform")
		version := client.Publish(b, "fan", `{
		  "start": "wait",
		  "nodes": {
		    "wait": {"kind": "wait_event", "signal_key": "items"},
		    "each": {"kind": "foreach", "exec_type": "queue", "service": "transform", "parallel_mode": "concurrent",
		             "prep": {"input_key": "items"}, "post": {"output_key": "done"}}
		  },
		  "edges": [{"from": "wait", "to": "each"}]
		}`)
		each, ended := map[int]time.Duration{}, 0 // per item, by size
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%dItems", n), func(b *testing.B) {
				items := json.RawMessage("[" + strings.TrimSuffix(strings.Repeat(`"item",`, n), ",") + "]")
				for b.Loop() {
					id := create(b, client, version, 1, none)[0]
					require.NoError(b, client.Tasks.Signal(b.Context(), schedulerapi.SignalRequest{TaskID: id, Key: "items", Value: items}))
					ended++
					awaitStatus(b, client, version, "completed", ended)
				}
				each[n] = b.Elapsed() / time.Duration(b.N*n)
				b.ReportMetric(float64(each[n])/float64(time.Microsecond), "µs/item")
			})
		}
		few, many := sizes[0], sizes[len(sizes)-1]
		if each[few] > 0 && each[many] > 0 { // neither was filtered out
			growth := each[many].Seconds() / each[few].Seconds()
			b.Logf("an item of %d takes %.2f of the time of one of %d", many, growth, few)
			require.Less(b, growth, float64(promisedGrowth))
		}
	})
}

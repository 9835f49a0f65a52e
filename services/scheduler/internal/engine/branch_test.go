package engine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func TestBranch_WithRetriesOfItsOwnHasThemInEachRound(t *testing.T) {
	t.Parallel()
	p := play(t, one(`{"kind":"parallel","failure_strategy":"retry","max_retries":1,"parallel_execs":[{"service":"a","max_retries":1},{"service":"b"}]}`), `{}`)
	attempts := []string{}
	for len(p.pending) > 0 {
		x := p.take()
		attempts = append(attempts, fmt.Sprintf("%s #%d", x.Path, x.Attempt))
		p.fail(x, RunError{Code: "worker_error"})
	}
	require.Equal(t, []string{"n/0 #1", "n/0 #2", "n/1 #1", "n/0 #3", "n/0 #4", "n/1 #2"}, attempts)
	require.Equal(t, storage.TaskFailed, p.state.Status)
	require.Equal(t, 2, p.state.Failure.Attempts, "the node's are its rounds")
	require.Equal(t, []int{4, 2}, []int{p.state.Failure.Branches[0].Attempts, p.state.Failure.Branches[1].Attempts})
}

func TestForeach_GivesEachItemItsPlaceWhateverParamsSay(t *testing.T) {
	t.Parallel()
	p := play(t, one(`{"kind":"foreach","service":"s","parallel_mode":"concurrent","prep":{"input_key":"$params.items"},"params":{"index":"own"},
		"foreach_execs":[{"index":1,"params":{"index":"mine"},"prep":{"input_key":"$params.index"}}]}`), `{"items":["a","b"],"index":"task"}`)
	require.Equal(t, `{"items":["a","b"],"index":0}`, string(p.find("n/0").Params))
	second := p.find("n/1")
	require.Equal(t, []string{`{"items":["a","b"],"index":1}`, `1`}, []string{string(second.Params), string(second.Input)})
}

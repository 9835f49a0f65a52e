package engine

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func TestChoice(t *testing.T) {
	t.Parallel()
	const flowOf = `{"start":"c","nodes":{"c":%NODE%,"x":{"kind":"executor","service":"x"},"y":{"kind":"executor","service":"y"},"z":{"kind":"executor","service":"z"}},
		"edges":[{"from":"c","action":"x","to":"x"},{"from":"c","action":"y","to":"y"}%MORE%]}`
	cases := []struct {
		name, node, more, params string
		path, code               string
	}{
		{name: "the first true case wins", node: `{"kind":"choice","choice_cases":[{"action":"x","expr":{"gt":["$params.n",1]}},{"action":"y","expr":{"gt":["$params.n",0]}}]}`, params: `{"n":2}`, path: "x"},
		{name: "a later case", node: `{"kind":"choice","choice_cases":[{"action":"x","expr":{"gt":["$params.n",1]}},{"action":"y","expr":{"gt":["$params.n",0]}}]}`, params: `{"n":0.5}`, path: "y"},
		{name: "action_key in the input", node: `{"kind":"choice","prep":{"input_map":{"go":"$params.go"}},"post":{"action_key":"go"},"default_action":"y"}`, params: `{"go":"x"}`, path: "x"},
		{name: "choice_key is the old spelling", node: `{"kind":"choice","prep":{"input_map":{"go":"$params.go"}},"choice_key":"go"}`, params: `{"go":"x"}`, path: "x"},
		{name: "the default action", node: `{"kind":"choice","choice_cases":[{"action":"x","expr":{"exists":"$params.n"}}],"default_action":"y"}`, params: `{}`, path: "y"},
		{name: "the default edge when nothing is selected", node: `{"kind":"choice","choice_cases":[{"action":"x","expr":{"exists":"$params.n"}}]}`, more: `,{"from":"c","action":"default","to":"z"}`, params: `{}`, path: "z"},
		{name: "nothing selected and no default edge", node: `{"kind":"choice","choice_cases":[{"action":"x","expr":{"exists":"$params.n"}}]}`, params: `{}`, code: CodeNoChoice},
		{name: "an action without an edge", node: `{"kind":"choice","choice_cases":[{"action":"q","expr":{"eq":[1,1.0]}}]}`, params: `{}`, code: CodeNoEdge},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := play(t, replace(flowOf, "%NODE%", c.node, "%MORE%", c.more), c.params)
			if c.code != "" {
				require.Equal(t, storage.TaskFailed, p.state.Status)
				require.Equal(t, c.code, p.state.Failure.Code)
				return
			}
			require.Equal(t, c.path, p.take().Path)
			require.Equal(t, storage.RunOK, p.runs[0].Status)
			require.Equal(t, p.now, p.runs[0].FinishedAt)
		})
	}
}

func TestChoice_LooksUpItsActionInTheInputAndThenInTheSharedState(t *testing.T) {
	t.Parallel()
	const flowOf = `{"start":"c","nodes":{"c":{"kind":"choice","prep":{"input_map":{"go":"$params.go"}},"post":{"action_key":"go"},"default_action":"z"},
		"x":{"kind":"executor","service":"x"},"y":{"kind":"executor","service":"y"},"z":{"kind":"executor","service":"z"}},
		"edges":[{"from":"c","action":"x","to":"x"},{"from":"c","action":"y","to":"y"},{"from":"c","action":"z","to":"z"}]}`
	for params, want := range map[string]string{`{"go":"x"}`: "x", `{}`: "y", `{"go":""}`: "y", `{"go":["x"]}`: "y"} {
		p := load(t, flowOf, params)
		p.signal("go", `"y"`)
		p.apply(Event{Kind: storage.EventStarted})
		require.Equal(t, want, p.take().Path, params)
	}
	require.Equal(t, "z", play(t, flowOf, `{}`).take().Path)
}

package flow_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// ofExec is what an execution comes to, by the field that sets it.
func ofExec(t *testing.T, e flow.Exec) map[string]string {
	t.Helper()
	sc := scope(`{}`, `{"a":1,"b":2}`, `null`)
	timeout, err := e.Timeout.Resolve(sc)
	require.NoError(t, err)
	return map[string]string{
		"exec_type": string(e.Type), "service": e.Service, "func": e.Func, "script": e.Script.Cmd,
		"prep": string(e.Prep.Input(sc)), "post": string(e.Post.Write(sc, []byte(`7`))),
		"params":      string(e.EffectiveParams(sc)),
		"max_retries": fmt.Sprint(e.Retry.Max), "wait_ms": e.Retry.Wait.String(), "timeout_ms": timeout.String(),
		"backoff":          fmt.Sprint(e.Retry.Factor, e.Retry.MaxWait, e.Retry.Jitter),
		"weighted_by_load": fmt.Sprint(e.Routing.WeightedByLoad), "max_attempts": fmt.Sprint(e.Routing.MaxAttempts),
		"attempt_delay_ms": e.Routing.Delay.String(),
	}
}

func TestOverride_ChangesTheFieldsThatItSetsAndNoOthers(t *testing.T) {
	t.Parallel()
	const base = `"exec_type":"http","service":"base","func":"f","script":{"cmd":"c"},"prep":{"input_key":"a"},"post":{"output_key":"a"},"params":{"p":1},
		"max_retries":1,"wait_ms":10,"backoff":{"factor":2,"max_ms":50,"jitter":0.5},"timeout_ms":100,
		"weighted_by_load":true,"max_attempts":2,"attempt_delay_ms":5`
	places := map[string]func(entry string) flow.Exec{
		"parallel_execs": func(entry string) flow.Exec {
			branches, err := compile(t, node(`{"kind":"parallel",`+base+`,"parallel_execs":[{`+entry+`}]}`)).Node("A").Branches(nil)
			require.NoError(t, err)
			return branches[0]
		},
		"foreach_execs": func(entry string) flow.Exec {
			item, ok := compile(t, node(`{"kind":"foreach",`+base+`,"foreach_execs":[{"index":3`+also(entry)+`}]}`)).Node("A").Item(3)
			require.True(t, ok)
			return item
		},
		"subflow_execs": func(entry string) flow.Exec {
			inner := node(`{"kind":"executor",` + base + `}`)
			return compile(t, node(`{"kind":"subflow","subflow":`+inner+`,"subflow_execs":[{"node":"A"`+also(entry)+`}]}`)).Node("A").Subflow.Plan.Node("A").Exec
		},
	}
	for place, exec := range places {
		inherited := map[string]string{
			"exec_type": "http", "service": "base", "func": "f", "script": "c", "params": `{"p":1}`,
			"prep": `null`, "post": `{"a":1,"b":2}`, // of a part: those of the node are the node's
			"max_retries": "1", "wait_ms": "10ms", "backoff": "2 50ms 0.5", "timeout_ms": "100ms",
			"weighted_by_load": "true", "max_attempts": "2", "attempt_delay_ms": "5ms",
		}
		if place == "subflow_execs" {
			inherited["prep"], inherited["post"] = `1`, `{"a":7,"b":2}`
		}
		require.Equal(t, inherited, ofExec(t, exec("")), place)
		for field, c := range map[string]struct{ own, want string }{
			"exec_type":        {`"queue"`, "queue"},
			"service":          {`"own"`, "own"},
			"func":             {`"g"`, "g"},
			"script":           {`{"cmd":"d"}`, "d"},
			"prep":             {`{"input_key":"b"}`, `2`},
			"post":             {`{"output_key":"b"}`, `{"a":1,"b":7}`},
			"params":           {`{"q":2}`, `{"p":1,"q":2}`},
			"max_retries":      {`0`, "0"},
			"wait_ms":          {`0`, "0s"},
			"backoff":          {`{"factor":3}`, "3 0s 0"},
			"timeout_ms":       {`200`, "200ms"},
			"weighted_by_load": {`false`, "false"},
			"max_attempts":     {`0`, "0"},
			"attempt_delay_ms": {`0`, "0s"},
		} {
			want := maps.Clone(inherited)
			require.NotEqual(t, c.want, want[field], "%s of %s", field, place)
			want[field] = c.want
			require.Equal(t, want, ofExec(t, exec(fmt.Sprintf("%q:%s", field, c.own))), "%s of %s", field, place)
		}
	}
}

func also(entry string) string {
	if entry == "" {
		return ""
	}
	return "," + entry
}

func TestChoice_TakesTheNewSpellingOfItsKeyBeforeTheOld(t *testing.T) {
	t.Parallel()
	plan := compile(t, node(`{"kind":"choice","choice_key":"old","post":{"action_key":"new"}}`))
	picked, _ := plan.Node("A").Post.ActionKey.Select(scope(`{}`, `{}`, `null`), []byte(`{"old":1,"new":2}`))
	require.Equal(t, "2", string(picked))
}

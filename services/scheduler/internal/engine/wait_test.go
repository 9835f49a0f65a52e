package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const waiting = `{"start":"w","nodes":{
	"w":{"kind":"wait_event","signal_key":"go","post":{"output_key":"got","action_key":"signal.way"}%MORE%},
	"a":{"kind":"executor","service":"s","post":{"action_key":"then"}},
	"late":{"kind":"executor","service":"late"},
	"left":{"kind":"executor","service":"left"}},
	"edges":[{"from":"w","action":"left","to":"left"},{"from":"w","to":"a"},{"from":"a","action":"again","to":"w"},{"from":"a","to":""}%EDGE%]}`

func TestWait_PassesBySignalOncePerVisit(t *testing.T) {
	t.Parallel()
	p := play(t, replace(waiting, "%MORE%", "", "%EDGE%", ""), `{}`)
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	require.True(t, p.state.NextDue().IsZero(), "without a time-out it waits as long as it takes")
	p.signal("other", `1`)
	require.Equal(t, "w", p.state.CurrentNode())

	p.signal("go", `false`)
	require.JSONEq(t, `{"other":1,"go":false,"got":false}`, string(p.state.Shared), "any value passes")
	p.answer(p.take(), `{"then":"again"}`)
	require.Equal(t, storage.TaskWaiting, p.state.Status, "the next visit waits for a new signal")
	require.Equal(t, 2, p.runs[2].Visit)

	p.signal("go", `{"way":"left"}`)
	require.Equal(t, "left", p.take().Path, "the action is looked up in the signal")
	require.Equal(t, "left", p.runs[2].Action)
}

func TestWait_PassesBySignalsThatCameBefore(t *testing.T) {
	t.Parallel()
	p := load(t, replace(waiting, "%MORE%", "", "%EDGE%", ""), `{}`)
	p.signal("go", `1`)
	p.signal("go", `2`)
	p.apply(Event{Kind: storage.EventStarted})
	require.Contains(t, string(p.state.Shared), `"got":1`, "the oldest first")
	p.answer(p.take(), `{"then":"again"}`)
	require.Contains(t, string(p.state.Shared), `"got":2`)
	p.answer(p.take(), `{"then":"again"}`)
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	require.Nil(t, p.state.Kept)
}

func TestWait_PassesByAValueThatIsThere(t *testing.T) {
	t.Parallel()
	const flowOf = `{"start":"a","nodes":{"a":{"kind":"executor","service":"s","post":{"output_key":"flag"}},"w":{"kind":"wait_event","signal_key":"$shared.flag"}},
		"edges":[{"from":"a","to":"w"},{"from":"w","to":"a"}]}`
	for value, passes := range map[string]bool{`true`: true, `"x"`: true, `0`: true, `{}`: true, `false`: false, `null`: false, `""`: false} {
		p := play(t, flowOf, `{}`)
		p.answer(p.take(), value)
		require.Equal(t, passes, p.state.Status == storage.TaskRunning, value)
		if passes {
			p.answer(p.take(), value)
			require.Equal(t, storage.TaskRunning, p.state.Status, "a value that a node wrote lets every visit pass")
		}
	}
}

func TestWait_TimesOut(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, more, edge, path string
	}{
		{name: "along the timeout edge", edge: `,{"from":"w","action":"timeout","to":"late"}`, path: "late"},
		{name: "along the action of its own", more: `,"post":{"action_static":"left"}`, path: "left"},
		{name: "and fails"},
		{name: "and goes on with null", more: `,"failure_strategy":"continue"`, path: "a"},
		{name: "and goes on with null by the other name", more: `,"failure_strategy":"ignore_errors"`, path: "a"},
		{name: "and goes on before it takes the timeout edge", more: `,"failure_strategy":"continue"`, edge: `,{"from":"w","action":"timeout","to":"late"}`, path: "a"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			definition := replace(waiting, "%MORE%", `,"timeout_ms":1000`+c.more, "%EDGE%", c.edge)
			if strings.Contains(c.more, "post") {
				definition = replace(definition, `,"post":{"output_key":"got","action_key":"signal.way"}`, "")
			}
			p := play(t, definition, `{}`)
			p.wait(999 * time.Millisecond)
			require.Equal(t, storage.TaskWaiting, p.state.Status)
			p.wait(time.Millisecond)
			if c.path == "" {
				require.Equal(t, storage.TaskFailed, p.state.Status)
				require.Equal(t, CodeTimeout, p.state.Failure.Code)
				require.Equal(t, storage.RunTimeout, p.runs[0].Status)
				return
			}
			require.Equal(t, c.path, p.take().Path)
		})
	}
}

func TestWait_StartsAgainUnderRetry(t *testing.T) {
	t.Parallel()
	p := play(t, replace(waiting, "%MORE%", `,"timeout_ms":1000,"failure_strategy":"retry","max_retries":1`, "%EDGE%", ""), `{}`)
	p.wait(time.Second)
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	require.Equal(t, []storage.RunStatus{storage.RunTimeout, storage.RunRunning}, []storage.RunStatus{p.runs[0].Status, p.runs[1].Status})
	require.Equal(t, 2, p.runs[1].Attempt)
	p.wait(time.Second)
	require.Equal(t, storage.TaskFailed, p.state.Status)
	require.Equal(t, 2, p.state.Failure.Attempts)
}

func TestWait_SurvivesStorage(t *testing.T) {
	t.Parallel()
	p := play(t, replace(waiting, "%MORE%", "", "%EDGE%", ""), `{}`)
	p.signal("go", `1`)
	p.signal("go", `2`)
	back := reload(t, &p.program, p.state, storedRuns{runs: p.runs})
	require.Equal(t, p.state, back)
}

func TestWait_ForPlacesInsideAValue(t *testing.T) {
	t.Parallel()
	const flowOf = `{"start":"paid","nodes":{
		"paid":{"kind":"wait_event","signal_key":"$shared.order.paid","post":{"output_key":"p"}},
		"shipped":{"kind":"wait_event","signal_key":"$shared.order.shipped","post":{"output_key":"s"}},
		"end":{"kind":"executor","service":"s"}},
		"edges":[{"from":"paid","to":"shipped"},{"from":"shipped","to":"end"}]}`

	p := play(t, flowOf, `{}`)
	p.signal("order", `{"status":"created"}`)
	require.Equal(t, "paid", p.state.CurrentNode(), "the signal left nothing there")
	p.signal("order", `{"paid":7}`)
	require.Equal(t, "shipped", p.state.CurrentNode())
	require.Contains(t, string(p.state.Shared), `"p":7`, "the value is the one at the place")
	p.signal("order", `{"paid":7,"shipped":8}`)
	require.Contains(t, string(p.state.Shared), `"s":8`)
	require.Equal(t, "end", p.take().Path)

	p = load(t, flowOf, `{}`)
	p.signal("order", `{"status":"created"}`)
	p.signal("order", `{"paid":7}`)
	p.apply(Event{Kind: storage.EventStarted})
	require.Equal(t, "shipped", p.state.CurrentNode(), "one that came before counts as well, if it left something")

	p = play(t, replace(flowOf, `"start":"paid"`, `"start":"make"`, `"nodes":{`, `"nodes":{"make":{"kind":"executor","service":"s","post":{"output_key":"order"}},`,
		`"edges":[`, `"edges":[{"from":"make","to":"paid"},`), `{}`)
	p.answer(p.take(), `{"paid":true,"shipped":true}`)
	require.Equal(t, "end", p.take().Path, "what a node wrote lets both pass")
}

func TestWait_IsNotPassedByWhatItsOwnPostMadeOfASignal(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"w","nodes":{"w":{"kind":"wait_event","signal_key":"order","post":{"output_map":{"order":"id"}}}},"edges":[{"from":"w","to":"w"}]}`, `{}`)
	p.signal("order", `{"id":5}`)
	require.JSONEq(t, `{"order":5}`, string(p.state.Shared))
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	require.Len(t, p.runs, 2)
}

func TestWait_BoundsWhatIsKept(t *testing.T) {
	t.Parallel()
	p := load(t, replace(waiting, "%MORE%", "", "%EDGE%", ""), `{}`)
	for range 5 {
		p.signal("go", `"`+strings.Repeat("x", 300<<10)+`"`)
	}
	require.Equal(t, CodeTooLarge, p.state.Failure.Code)
}

func TestWait_LeavesASignalForTheNodeThatItTellsSomething(t *testing.T) {
	t.Parallel()
	const flowOf = `{"start":"paid","nodes":{
		"paid":{"kind":"wait_event","signal_key":"$shared.order.paid"},
		"shipped":{"kind":"wait_event","signal_key":"$shared.order.shipped","post":{"output_key":"s"}}},
		"edges":[{"from":"paid","to":"shipped"}]}`
	for _, early := range []bool{true, false} {
		p := load(t, flowOf, `{}`)
		if !early {
			p.apply(Event{Kind: storage.EventStarted})
		}
		p.signal("order", `{"shipped":8}`)
		p.signal("order", `{"paid":7}`)
		if early {
			p.apply(Event{Kind: storage.EventStarted})
		}
		require.Equal(t, storage.TaskCompleted, p.state.Status)
		require.Contains(t, string(p.state.Shared), `"s":8`)
	}
}

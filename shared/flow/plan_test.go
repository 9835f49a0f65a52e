package flow_test

import (
	"encoding/json"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
)

func everyField(t testing.TB) *flow.Plan { return compile(t, string(read(t, "every_field.json"))) }

func scope(params, shared, input string) expr.Scope {
	return expr.Scope{Params: json.RawMessage(params), Shared: json.RawMessage(shared), Input: json.RawMessage(input)}
}

func TestPlan_FollowsTheEdgeRules(t *testing.T) {
	t.Parallel()
	plan := compile(t, `{"start":"a","timeout_ms":1500,"max_steps":7,
	  "nodes":{"a":{"kind":"executor","service":"s"},"b":{"kind":"executor","service":"s"},"c":{"kind":"executor","service":"s"},"d":{"kind":"executor","service":"s"}},
	  "edges":[{"from":"a","action":"x","to":"b"},{"from":"a","to":"c"},{"from":"a","action":"end","to":""},
	           {"from":"b","action":"x","to":"c"},
	           {"from":"c","action":"error","to":"d"},{"from":"c","action":"timeout","to":""}]}`)
	require.Equal(t, "a", plan.Start())
	require.Equal(t, 4, plan.Len())
	require.Equal(t, 1500*time.Millisecond, plan.Timeout())
	require.Equal(t, 7, plan.MaxSteps())
	require.Nil(t, plan.Node("z"))

	for _, tc := range []struct {
		from, action, key string
		exit              flow.Exit
	}{
		{"a", "x", "b", flow.ExitTo},
		{"a", "other", "c", flow.ExitTo},
		{"a", "", "c", flow.ExitTo},
		{"a", "default", "c", flow.ExitTo},
		{"a", "end", "", flow.ExitEnd},
		{"b", "x", "c", flow.ExitTo},
		{"b", "y", "", flow.ExitNone},
		{"b", "", "", flow.ExitNone},
		{"c", "", "", flow.ExitEnd},
		{"c", "error", "d", flow.ExitTo}, // an action that happens to have the name
		{"d", "anything", "", flow.ExitEnd},
	} {
		key, exit := plan.Next(tc.from, tc.action)
		require.Equal(t, tc.key, key, "%s %s", tc.from, tc.action)
		require.Equal(t, tc.exit, exit, "%s %s", tc.from, tc.action)
	}

	to, ok := plan.ErrorEdge("c")
	require.True(t, ok)
	require.Equal(t, "d", to)
	to, ok = plan.TimeoutEdge("c")
	require.True(t, ok)
	require.Empty(t, to)
	_, ok = plan.ErrorEdge("a")
	require.False(t, ok)
}

func TestCompile_ReturnsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := flow.Compile(&flow.Definition{})
	require.Equal(t, errs.InvalidFlow, errs.CodeOf(err))
	var e *errs.Error
	require.ErrorAs(t, err, &e)
	require.Len(t, e.Faults, 2)
}

func TestCompile_FillsInTheDefaults(t *testing.T) {
	t.Parallel()
	n := compile(t, node(`{"kind":"executor","service":"s"}`)).Node("A")
	require.Equal(t, flow.ExecHTTP, n.Type)
	require.Equal(t, flow.Retry{Factor: 1}, n.Retry)
	require.False(t, n.Timeout.IsSet())
	require.True(t, n.Prep.Empty())
	require.JSONEq(t, `null`, string(n.Prep.Input(expr.Scope{})))
}

func TestExec_LaysParamsOverTheWeakerOnes(t *testing.T) {
	t.Parallel()
	n := everyField(t).Node("exec")
	got := n.EffectiveParams(scope(`{"x":"$shared.y","n":1,"keep":1.0}`, `{"y":2}`, ``))
	require.Equal(t, `{"x":"$shared.y","n":9007199254740993,"keep":1.0,"deep":[{"y":2}],"price":"$5"}`, string(got))
}

func TestPrep_MakesTheInput(t *testing.T) {
	t.Parallel()
	n := everyField(t).Node("exec")
	got := n.Prep.Input(scope(`{"id":7}`, `{"a":{"b":[{"own":1}]},"a.b":"dotted"}`, ``))
	require.Equal(t, `{"own":1,"dotted":"dotted","id":7}`, string(got))

	got = n.Prep.Input(scope(`{}`, `{}`, ``))
	require.Equal(t, `{"dotted":null,"id":null}`, string(got))
}

func TestPost_WritesTheResultAndSelectsTheAction(t *testing.T) {
	t.Parallel()
	n := everyField(t).Node("exec")
	result := json.RawMessage(`{"result":{"value":1.10},"action":true}`)
	sc := scope(`{}`, `{ "keep" : 1e2, "out":0}`, `{"id":"i"}`)
	require.Equal(t, `{ "keep" : 1e2, "out":{"result":{"value":1.10},"action":true},"in":"i","to":1.10}`, string(n.Post.Write(sc, result)))
	require.Equal(t, "true", n.Post.Action(sc, result))
	require.Empty(t, n.Post.Action(sc, json.RawMessage(`{}`)))

	static := compile(t, node(`{"kind":"executor","service":"s","post":{"action_static":"go","action_key":"a"}}`)).Node("A")
	require.Equal(t, "go", static.Post.Action(sc, json.RawMessage(`{"a":"stop"}`)))
}

func TestActionText(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`"a\u0062"`: "ab", `true`: "true", "\t1.50\n": "1.50", `null`: "", `{}`: "", `["a"]`: "", ``: "",
	} {
		require.Equal(t, want, flow.ActionText(json.RawMessage(raw)), raw)
	}
}

func TestRetry_DelaysGrowToTheBound(t *testing.T) {
	t.Parallel()
	exact := flow.Retry{Wait: time.Hour, Factor: 1e9, MaxWait: 1<<53 + 3}
	require.Equal(t, exact.MaxWait, exact.Delay(2, 0), "no rounding takes the wait past the bound")

	r := flow.Retry{Wait: 100 * time.Millisecond, Factor: 2, MaxWait: time.Second, Jitter: 0.5}
	require.Equal(t, 100*time.Millisecond, r.Delay(1, 0))
	require.Equal(t, 400*time.Millisecond, r.Delay(3, 0))
	require.Equal(t, time.Second, r.Delay(50, 0))
	require.Equal(t, 75*time.Millisecond, r.Delay(1, 0.5))
	require.Equal(t, time.Duration(0), flow.Retry{Factor: 2}.Delay(math.MaxInt32, 0))
	require.Equal(t, 365*24*time.Hour, flow.Retry{Wait: 1, Factor: 2}.Delay(math.MaxInt32, 0))
}

func TestRetry_DelayStaysInItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := flow.Retry{
			Wait:    time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "wait")),
			Factor:  rapid.Float64Range(0, math.MaxFloat64).Draw(t, "factor"),
			MaxWait: time.Duration(rapid.Int64Range(1, math.MaxInt64).Draw(t, "max")),
			Jitter:  rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		delay := r.Delay(rapid.IntRange(1, 1<<30).Draw(t, "attempt"), rapid.Float64Range(0, 0.999).Draw(t, "chance"))
		require.GreaterOrEqual(t, delay, time.Duration(0))
		require.LessOrEqual(t, delay, r.MaxWait)
	})
}

func TestDurationSetting_ResolvesLiteralsAndReferences(t *testing.T) {
	t.Parallel()
	plan := everyField(t)
	literal, err := plan.Node("queue").Timeout.Resolve(expr.Scope{})
	require.NoError(t, err)
	require.Equal(t, 1500*time.Millisecond, literal)

	ref := plan.Node("exec").Timeout
	for params, want := range map[string]time.Duration{`{"limit":250}`: 250 * time.Millisecond, `{}`: 0, `{"limit":null}`: 0} {
		got, err := ref.Resolve(scope(params, ``, ``))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, params := range []string{`{"limit":-1}`, `{"limit":"5"}`, `{"limit":1.5}`, `{"limit":9223372036854775807}`} {
		_, err := ref.Resolve(scope(params, ``, ``))
		require.Error(t, err, params)
	}
}

func TestTimer_ReadsItsSettingsFromNodeOrParams(t *testing.T) {
	t.Parallel()
	plan := everyField(t)
	delay, err := plan.Node("delay").Timer.Delay.Resolve(scope(`{"delay":5}`, ``, ``))
	require.NoError(t, err)
	require.Equal(t, 5*time.Millisecond, delay)

	until, err := plan.Node("until").Timer.Until.Resolve(expr.Scope{})
	require.NoError(t, err)
	require.Equal(t, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), until)

	ms := compile(t, node(`{"kind":"timer","until":1700000000123}`)).Node("A").Timer.Until
	until, err = ms.Resolve(expr.Scope{})
	require.NoError(t, err)
	require.Equal(t, time.UnixMilli(1700000000123).UTC(), until)

	missing := compile(t, node(`{"kind":"timer","until":"$params.at"}`)).Node("A").Timer.Until
	_, err = missing.Resolve(expr.Scope{})
	require.Error(t, err)
}

func TestWait_NamesItsSignal(t *testing.T) {
	t.Parallel()
	plan := everyField(t)
	event := plan.Node("event").Wait
	require.Equal(t, "go", event.Signal)
	require.Equal(t, `1`, string(event.Value.Resolve(scope(``, `{"go":1}`, ``))))

	approve := plan.Node("approve").Wait
	require.Equal(t, "decision", approve.Signal)
	require.Equal(t, `true`, string(approve.Value.Resolve(scope(``, `{"decision":true}`, ``))))

	dotted := compile(t, node(`{"kind":"wait_event","signal_key":"order.paid"}`)).Node("A").Wait
	require.Equal(t, "order.paid", dotted.Signal)
	require.Equal(t, `7`, string(dotted.Value.Resolve(scope(``, `{"order.paid":7}`, ``))))
}

func TestBranches_InheritFromTheirNode(t *testing.T) {
	t.Parallel()
	plan := everyField(t)
	branches, err := plan.Node("par").Branches(nil)
	require.NoError(t, err)
	require.Len(t, branches, 2)
	require.Equal(t, flow.ExecHTTP, branches[0].Type)
	require.Equal(t, flow.ExecQueue, branches[1].Type)
	require.Equal(t, `3`, string(branches[0].Prep.Input(scope(``, ``, `{"a":3}`))))
	require.Equal(t, flow.Group{Mode: flow.Concurrent, MaxParallel: 2, Strategy: flow.FailFast}, plan.Node("par").Parallel.Group)

	branches, err = plan.Node("par2").Branches(nil)
	require.NoError(t, err)
	require.Equal(t, "b", branches[1].Service)

	require.Nil(t, plan.Node("par").Parallel.Services(scope(`{"services":["x"]}`, ``, ``)))
	services := plan.Node("par3").Parallel.Services(scope(`{"services":["x"]}`, ``, ``))
	require.Equal(t, `["x"]`, string(services))
	branches, err = plan.Node("par3").Branches(services)
	require.NoError(t, err)
	require.Equal(t, "x", branches[0].Service)
	for _, services := range []string{`[]`, `"x"`, `[1]`, `null`} {
		_, err = plan.Node("par3").Branches(json.RawMessage(services))
		require.Error(t, err, services)
	}
}

func TestItem_TakesTheEntryOfItsIndex(t *testing.T) {
	t.Parallel()
	n := everyField(t).Node("each")
	first, ok := n.Item(0)
	require.True(t, ok)
	require.Equal(t, "first", first.Service)
	require.Equal(t, `{"index":0,"k":1}`, string(first.EffectiveParams(scope(`{"index":0}`, ``, ``))))
	other, ok := n.Item(1)
	require.True(t, ok)
	require.Equal(t, "item", other.Service)
	require.Zero(t, other.Retry.Max, "the strategy retry spends max_retries on the node")

	bare := compile(t, node(`{"kind":"foreach","foreach_execs":[{"index":0,"service":"s"}]}`)).Node("A")
	_, ok = bare.Item(1)
	require.False(t, ok)
}

func TestSubflow_BindsItsOverrides(t *testing.T) {
	t.Parallel()
	plan := everyField(t)
	a := plan.Node("sub").Subflow.Plan.Node("a")
	require.Equal(t, "y", a.Service)
	require.Equal(t, `{"k":2}`, string(a.EffectiveParams(expr.Scope{})))

	named := compile(t, node(`{"kind":"subflow","flow":{"name":"f"},"subflow_execs":[{"node":"A","service":"z","timeout_ms":5}]}`)).Node("A").Subflow
	target := compile(t, node(`{"kind":"executor","service":"s","max_retries":2}`))
	bound, err := named.Bind(target)
	require.NoError(t, err)
	require.Equal(t, "z", bound.Node("A").Service)
	require.Equal(t, 2, bound.Node("A").Retry.Max)
	require.Equal(t, "s", target.Node("A").Service)

	_, err = named.Bind(compile(t, `{"start":"B","nodes":{"B":{"kind":"choice","default_action":"x"}}}`))
	require.ErrorContains(t, err, `no node "A"`)
}

func TestChoice_DecidesByCasesThenKey(t *testing.T) {
	t.Parallel()
	n := everyField(t).Node("choice")
	require.True(t, n.Choice.Cases[0].When.Holds(scope(``, `{}`, `{"n":4}`)))
	require.False(t, n.Choice.Cases[0].When.Holds(scope(``, `{"stop":1}`, `{"n":4}`)))
	require.Equal(t, "left", n.Post.Action(expr.Scope{}, json.RawMessage(`{"way":"left"}`)))
	require.Equal(t, "small", n.Choice.Default)
}

func TestPriority_ReadsWholeNumbers(t *testing.T) {
	t.Parallel()
	for params, want := range map[string]int{`{"priority":5}`: 5, `{"priority":-1}`: -1, `{}`: 0, `{"priority":"5"}`: 0, `{"priority":99999999999}`: 0} {
		require.Equal(t, want, flow.Priority(json.RawMessage(params)), params)
	}
}

func TestDelay_ReadsMilliseconds(t *testing.T) {
	t.Parallel()
	for params, want := range map[string]time.Duration{
		`{"delay_ms":1500}`: 1500 * time.Millisecond, `{"delay_ms":0}`: 0, `{}`: 0, ``: 0, `{"delay_ms":-1}`: 0, `{"delay_ms":1.5}`: 0,
		`{"delay_ms":"1500"}`: 0, `{"delay_ms":null}`: 0, `{"delay_ms":31536000000}`: 365 * 24 * time.Hour, `{"delay_ms":31536000001}`: 0,
		`{"delay_ms":9223372036854775807}`: 0, `{"delay_ms":99999999999999999999}`: 0,
	} {
		require.Equal(t, want, flow.Delay(json.RawMessage(params)), params)
	}
}

func TestPlan_IsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	plan := everyField(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				n := plan.Node("exec")
				sc := scope(`{"id":1}`, `{"y":2}`, `{}`)
				sc.Params = n.EffectiveParams(sc)
				_ = append(n.Prep.Input(sc), "scribble"...)
				_ = n.Post.Write(sc, json.RawMessage(`{"result":{"value":1}}`))
				_, _ = plan.Node("par").Branches(nil)
				_ = plan.Node("choice").Choice.Cases[0].When.Holds(sc)
			}
		})
	}
	wg.Wait()
}

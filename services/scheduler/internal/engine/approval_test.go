package engine

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const approving = `{"start":"ok","nodes":{"ok":{"kind":"approval","approval_key":"%KEY%","prep":{"input_map":{"amount":"$shared.order.amount"}}%MORE%},
	"yes":{"kind":"executor","service":"yes"},"no":{"kind":"executor","service":"no"},"later":{"kind":"executor","service":"later"}},
	"edges":[{"from":"ok","action":"approved","to":"yes"},{"from":"ok","action":"rejected","to":"no"},{"from":"ok","action":"later","to":"later"}]}`

func (p *player) decide(value string) {
	p.t.Helper()
	approval, ok := p.program.Approval(p.state)
	require.True(p.t, ok)
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{
		Key: approval.Key, Value: json.RawMessage(value), RunID: approval.RunID, DecidedBy: "ann", Comment: "fine",
	}})
}

func TestApproval_TurnsTheDecisionIntoTheAction(t *testing.T) {
	t.Parallel()
	for value, path := range map[string]string{`true`: "yes", `false`: "no", `"later"`: "later"} {
		for _, key := range []string{"decision", "$shared.review.verdict", "$params.decision"} {
			p := play(t, replace(approving, "%KEY%", key, "%MORE%", ""), `{}`)
			require.Equal(t, storage.WaitApproval, p.program.WaitsFor(p.state))
			p.decide(value)
			require.Equal(t, path, p.take().Path, "%s %s", key, value)
			run := p.run("ok")
			require.Equal(t, []string{value, "ann", "fine"}, []string{string(run.Output), run.DecidedBy, run.Comment})
		}
	}
}

func TestApproval_TakesPlainSignalsAndValuesThatAreThere(t *testing.T) {
	t.Parallel()
	p := load(t, replace(approving, "%KEY%", "decision", "%MORE%", ""), `{}`)
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: "decision", Value: json.RawMessage(`false`), DecidedBy: "bob"}})
	p.apply(Event{Kind: storage.EventStarted})
	require.Equal(t, "no", p.take().Path, "a decision may come before the node is reached")
	require.Equal(t, "bob", p.run("ok").DecidedBy)

	p = play(t, replace(approving, "%KEY%", "$params.decision", "%MORE%", ""), `{"decision":true}`)
	require.Equal(t, "yes", p.take().Path, "or stand in the params")
	p = play(t, replace(approving, "%KEY%", "$params.decision", "%MORE%", ""), `{"decision":false}`)
	require.Equal(t, storage.TaskWaiting, p.state.Status, "a flag that is not set is no rejection")
}

func TestApproval_ActionKeyMaySayOtherwise(t *testing.T) {
	t.Parallel()
	p := play(t, replace(approving, "%KEY%", "decision", "%MORE%", `,"post":{"action_key":"approval.go","output_key":"who"}`), `{}`)
	p.signal("decision", `{"go":"later"}`)
	require.Equal(t, "later", p.take().Path)
	require.Equal(t, `{"decision":{"go":"later"},"who":{"go":"later"}}`, string(p.state.Shared))
}

func TestApproval_ActionStaticIsForTheTimeOut(t *testing.T) {
	t.Parallel()
	def := replace(approving, "%KEY%", "decision", "%MORE%", `,"timeout_ms":1000,"post":{"action_static":"later"}`)
	p := play(t, def, `{}`)
	p.decide(`false`)
	require.Equal(t, "no", p.take().Path)
	p = play(t, def, `{}`)
	p.wait(time.Second)
	require.Equal(t, "later", p.take().Path)
}

func TestApproval_ShowsTheStateAsItIs(t *testing.T) {
	t.Parallel()
	p := play(t, replace(approving, "%KEY%", "decision", "%MORE%", `,"timeout_ms":1000`), `{}`)
	shown, ok := p.program.Approval(p.state)
	require.True(t, ok)
	require.Equal(t, Approval{
		RunNo: 1, RunID: p.runs[0].ID, NodeKey: "ok", Path: "ok", Visit: 1, Attempt: 1, Key: "decision",
		Input: json.RawMessage(`{"amount":null}`), Due: epoch.Add(time.Second),
	}, shown)
	p.signal("order", `{"amount":5}`)
	shown, _ = p.program.Approval(p.state)
	require.Equal(t, `{"amount":5}`, string(shown.Input))
}

func TestApproval_DecisionsAreForOneVisit(t *testing.T) {
	t.Parallel()
	p := play(t, replace(approving, "%KEY%", "decision", "%MORE%", `,"timeout_ms":1000,"failure_strategy":"retry","max_retries":1`), `{}`)
	stale, _ := p.program.Approval(p.state)
	p.wait(time.Second)
	before := textOf(t, p.state)
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: "decision", Value: json.RawMessage(`true`), RunID: stale.RunID}})
	require.Equal(t, before, textOf(t, p.state), "the attempt that it was about is over")
	p.decide(`true`)
	require.Equal(t, "yes", p.take().Path)
}

package flow

import (
	"encoding/json"
	"math"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// Exec is a compiled ExecSpec.
type Exec struct {
	Type    ExecType
	Service string
	Func    string
	Script  *Script

	// Params are the layers that the flow's author set, weakest first: the
	// node's own, then those of the exec spec that applies. See
	// EffectiveParams.
	Params []expr.Value
	Prep   PrepPlan
	Post   PostPlan

	Retry   Retry
	Timeout DurationSetting // of one attempt; unset: the scheduler's default
	Routing Routing
}

// EffectiveParams lays the exec's params over the weaker ones in scope.Params
// (the task's, then the enclosing subflow's). A "$params" reference in a layer
// reads the layers below it.
func (e *Exec) EffectiveParams(scope expr.Scope) json.RawMessage {
	for _, layer := range e.Params {
		scope.Params = rawjson.Merge(scope.Params, layer.Resolve(scope))
	}
	return scope.Params
}

// OwnParams lays the exec's params over own, an object, and leaves those of base
// out: base.Merge of the result gives the effective params. It is for the many
// parts of one node, which share a base that may be large.
func (e *Exec) OwnParams(scope expr.Scope, base *rawjson.Base, own json.RawMessage) json.RawMessage {
	for _, layer := range e.Params {
		if layer.Uses(expr.RootParams) {
			scope.Params = base.Merge(own)
		}
		own = rawjson.Merge(own, layer.Resolve(scope))
	}
	return own
}

// Priority is the job priority in the effective params, for exec_type queue;
// 0 when there is none that is a whole number.
func Priority(params json.RawMessage) int {
	raw, _ := rawjson.Field(params, "priority")
	n, err := rawjson.Int(raw)
	if err != nil || n < math.MinInt32 || n > math.MaxInt32 {
		return 0
	}
	return int(n)
}

// Delay is how long a job is kept from workers by the delay_ms in the effective
// params, for exec_type queue; 0 when there is none that is a whole number from
// 0 to a year.
func Delay(params json.RawMessage) time.Duration {
	raw, _ := rawjson.Field(params, "delay_ms")
	n, err := rawjson.Int(raw)
	if err != nil || n < 0 || n > longestWait.Milliseconds() {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// Routing is how a push execution picks workers.
type Routing struct {
	WeightedByLoad bool
	MaxAttempts    int // workers tried within one attempt; 0: all
	Delay          time.Duration
}

// Retry is how often and how far apart a failed execution is repeated.
type Retry struct {
	Max     int           // attempts are 1 + Max
	Wait    time.Duration // before the second attempt
	Factor  float64       // at least 0; each wait is the one before times Factor
	MaxWait time.Duration // 0: no bound of its own
	Jitter  float64       // 0 to 1
}

// longestWait keeps a growing backoff, and a job's delay, inside what a duration
// and a due time can hold.
const longestWait = 365 * 24 * time.Hour

// Delay is the wait after the given attempt (from 1) failed. chance, in [0,1),
// is the caller's die: jitter takes up to that part off the wait, so max_ms is
// never passed. The same arguments always give the same wait.
func (r Retry) Delay(attempt int, chance float64) time.Duration {
	if r.Wait <= 0 {
		return 0
	}
	wait := float64(r.Wait) * math.Pow(r.Factor, float64(attempt-1))
	limit := longestWait
	if r.MaxWait > 0 && r.MaxWait < limit {
		limit = r.MaxWait
	}
	wait = min(wait, float64(limit))
	// A float64 near the limit may be rounded up beyond it.
	return min(time.Duration(wait*(1-r.Jitter*chance)), limit)
}

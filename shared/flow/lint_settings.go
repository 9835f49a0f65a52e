package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
)

// strategyKinds are the kinds whose nodes have a failure strategy.
func strategyKinds() []Kind {
	return []Kind{KindParallel, KindForeach, KindSubflow, KindWaitEvent, KindApproval}
}

// settings looks for settings that do nothing where they are: the kind of the
// node does not know them, or another setting decides.
func (l *linter) settings(n *linted) {
	if !slices.Contains(Kinds, n.Kind) {
		return // one fault is enough
	}
	execute := []Kind{KindExecutor, KindParallel, KindForeach}
	parts := []Kind{KindParallel, KindForeach}
	attempts := []Kind{KindExecutor, KindParallel, KindForeach, KindSubflow, KindWaitEvent, KindApproval}
	spaced := []Kind{KindExecutor, KindParallel, KindForeach, KindSubflow}
	for _, s := range []struct {
		name  string
		given bool
		users []Kind
	}{
		{"service", n.Service != "", execute},
		{"func", n.Func != "", execute},
		{"script", n.Script != nil, execute},
		{"exec_type", n.ExecType != "", execute},
		{"timeout_ms", n.TimeoutMS != nil, attempts},
		{"max_retries", n.MaxRetries != nil, attempts},
		{"wait_ms", n.WaitMS != nil, spaced},
		{"backoff", n.Backoff != nil, spaced},
		{"weighted_by_load", n.WeightedByLoad != nil, execute},
		{"max_attempts", n.MaxAttempts != nil, execute},
		{"attempt_delay_ms", n.AttemptDelayMS != nil, execute},
		{"choice_cases", len(n.ChoiceCases) > 0, []Kind{KindChoice}},
		{"default_action", n.DefaultAction != "", []Kind{KindChoice}},
		{"choice_key", n.ChoiceKey != "", []Kind{KindChoice}},
		{"parallel_execs", len(n.ParallelExecs) > 0, []Kind{KindParallel}},
		{"parallel_services", len(n.ParallelServices) > 0, []Kind{KindParallel}},
		{"services", n.Services != nil, []Kind{KindParallel}},
		{"foreach_execs", len(n.ForeachExecs) > 0, []Kind{KindForeach}},
		{"parallel_mode", n.ParallelMode != "", parts},
		{"max_parallel", n.MaxParallel != 0, parts},
		{"failure_strategy", n.FailureStrategy != "", strategyKinds()},
		{"subflow", n.Subflow != nil, []Kind{KindSubflow}},
		{"flow", n.Flow != nil, []Kind{KindSubflow}},
		{"subflow_execs", len(n.SubflowExecs) > 0, []Kind{KindSubflow}},
		{"delay_ms", n.DelayMS != nil, []Kind{KindTimer}},
		{"until", n.Until != nil, []Kind{KindTimer}},
		{"signal_key", n.SignalKey != nil, []Kind{KindWaitEvent}},
		{"approval_key", n.ApprovalKey != nil, []Kind{KindApproval}},
	} {
		if s.given && !slices.Contains(s.users, n.Kind) {
			l.unused(expr.JoinPath(n.at, s.name), fmt.Sprintf("does nothing at a node of the kind %s", n.Kind))
		}
	}
	switch n.Kind {
	case KindParallel:
		l.parallel(n)
		l.window(n)
	case KindForeach:
		l.window(n)
	case KindChoice:
		l.choice(n)
	case KindWaitEvent:
		l.signal(n)
	case KindExecutor, KindSubflow, KindTimer, KindApproval:
	}
}

func (l *linter) unused(path, why string) { l.warnings.add(path, CodeUnusedSetting, "%s", why) }

// signal looks for a wait that no signal can end: its reference names no key, or
// one that signals may not have. An approval there can still be decided.
func (l *linter) signal(n *linted) {
	var c compiler
	wait := c.wait(setting{"signal_key", n.SignalKey, n.Params}, n.at)
	if len(c.faults.faults) == 0 && (wait.Signal == "" || strings.HasPrefix(wait.Signal, "_")) {
		l.warnings.add(expr.JoinPath(n.at, "signal_key"), CodeNoSignal, "no signal can be sent for this: only a value that is there, or a time-out, ends the wait")
	}
}

// parallel names the sources of branches that another one comes before.
func (l *linter) parallel(n *linted) {
	execs, names := len(n.ParallelExecs) > 0, len(n.ParallelServices) > 0
	if execs && names {
		l.unused(expr.JoinPath(n.at, "parallel_services"), "does nothing, since parallel_execs has the branches")
	}
	if n.Services == nil {
		return
	}
	at := expr.JoinPath(n.at, "services")
	switch {
	case execs:
		l.unused(at, "does nothing, since parallel_execs has the branches")
	case names:
		l.unused(at, "does nothing, since parallel_services has the branches")
	}
}

func (l *linter) window(n *linted) {
	if n.MaxParallel > 0 && (n.ParallelMode == "" || n.ParallelMode == Sequential) {
		l.unused(expr.JoinPath(n.at, "max_parallel"), "counts only in parallel_mode concurrent; sequential is one at a time")
	}
}

func (l *linter) choice(n *linted) {
	if n.Post == nil {
		return
	}
	if n.Post.ActionStatic != "" {
		l.unused(expr.JoinPath(n.postAt, "action_static"), "does nothing at a choice; default_action is what it takes when no case holds")
	}
	if n.Post.ActionKey != "" && n.ChoiceKey != "" {
		l.unused(expr.JoinPath(n.at, "choice_key"), "does nothing, since post.action_key is the same setting")
	}
}

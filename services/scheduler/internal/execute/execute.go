// Package execute carries executions out: it calls push workers and local
// functions, runs scripts, and turns whatever happens into a run's result. It
// decides nothing about the task; retries are the engine's.
package execute

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/localfunc"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// The codes of failed executions. engine.CodeTimeout is the one for time-outs.
const (
	CodeNoWorker    = "no_worker"          // no online worker offers the service
	CodeUnreachable = "worker_unreachable" // every worker tried refused or was away
	CodeLost        = "worker_lost"        // the connection broke before the answer
	CodeStatus      = "worker_status"      // an HTTP status other than 2xx
	CodeBadAnswer   = "bad_answer"         // not the documented JSON
	CodeTooLarge    = "answer_too_large"
	CodeWorkerError = "worker_error" // the worker said so
	CodeUnknownFunc = "unknown_func"
	CodeFuncError   = "func_error"

	CodeScriptNotAllowed   = "script_not_allowed"   // the operator does not want it
	CodeScriptNotStartable = "script_not_startable" // this machine cannot start it
	CodeScriptFailed       = "script_failed"        // an exit code other than 0, or a signal
)

// Executor carries out executions of all types that run from here.
type Executor struct {
	push    *push
	funcs   localfunc.Registry
	scripts *Scripts
	logs    Logs
	log     *zap.Logger
	tracer  trace.Tracer
}

// Logs is where runs' logs are kept.
type Logs interface {
	// Append adds text to a run's log, trying again until ctx ends.
	Append(ctx context.Context, run storage.RunRef, text string) error
}

// Deps are what an executor is given.
type Deps struct {
	Pool    Pool // of push workers
	Funcs   localfunc.Registry
	Scripts *Scripts
	Logs    Logs // of scripts
	Log     *zap.Logger
	Metrics *Metrics     // nil: nobody looks at them
	Tracer  trace.Tracer // nil: nobody traces
}

// New makes an executor.
func New(deps Deps) *Executor {
	if deps.Metrics == nil {
		deps.Metrics = newMetrics()
	}
	if deps.Tracer == nil {
		deps.Tracer = tracing.Tracer(nil, "")
	}
	return &Executor{
		push: newPush(deps.Pool, deps.Metrics), funcs: deps.Funcs, scripts: deps.Scripts,
		logs: deps.Logs, log: deps.Log, tracer: deps.Tracer,
	}
}

// Do carries out one attempt. It returns when the attempt has ended, within
// the execution's time-out once a worker is at hand. When ctx ends first, the
// attempt has no result and Do fails with the context's error. It belongs to
// the trace of ctx, and so does what a push worker makes of it.
func (e *Executor) Do(ctx context.Context, taskID string, x engine.Execution) (engine.RunResult, error) {
	ctx, span := e.trace(ctx, taskID, x)
	defer span.End()
	var result engine.RunResult
	switch x.Exec.Type {
	case flow.ExecLocalFunc:
		result = e.local(ctx, taskID, x)
	case flow.ExecLocalScript:
		result = e.scripts.do(ctx, x, func(text string) { e.keepLog(ctx, taskID, x, text) })
	case flow.ExecHTTP, flow.ExecQueue:
		result = e.push.do(ctx, taskID, x)
	}
	if err := ctx.Err(); err != nil {
		tracing.Fail(span, "canceled")
		return engine.RunResult{}, err
	}
	if result.Error != nil {
		tracing.Fail(span, result.Error.Code)
	}
	result.RunID = x.RunID
	return result, nil
}

func (e *Executor) trace(ctx context.Context, taskID string, x engine.Execution) (context.Context, trace.Span) {
	kind := trace.SpanKindInternal
	if x.Exec.Type == flow.ExecHTTP {
		kind = trace.SpanKindClient
	}
	of := tracing.Execution{TaskID: taskID, RunID: x.RunID, Node: x.Path, Service: x.Exec.Service, Attempt: x.Attempt}
	return of.Start(ctx, e.tracer, "execute", trace.WithSpanKind(kind))
}

// logPatience bounds the wait for a database that takes no log.
const logPatience = 5 * time.Second

// keepLog keeps what an execution wrote, also of one that is aborted. It is done
// before the result is, so whoever sees the run ended finds all of it; but no
// result is lost for its log.
func (e *Executor) keepLog(ctx context.Context, taskID string, x engine.Execution, text string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logPatience)
	defer cancel()
	run := storage.RunRef{TaskID: taskID, No: x.RunNo, ID: x.RunID}
	if err := e.logs.Append(ctx, run, text); err != nil {
		e.log.Error("run_log_not_kept", zap.String("task_id", taskID), zap.String("run_id", x.RunID), zap.Error(err))
	}
}

func (e *Executor) local(ctx context.Context, taskID string, x engine.Execution) (result engine.RunResult) {
	f, ok := e.funcs[x.Exec.Func]
	if !ok {
		return failed(CodeUnknownFunc, "this scheduler has no function %q", x.Exec.Func).final()
	}
	if x.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.Timeout)
		defer cancel()
	}
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("local_func_panicked", zap.String("func", x.Exec.Func), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			result = failed(CodeFuncError, "the function %q panicked", x.Exec.Func).RunResult
		}
	}()
	value, err := f(ctx, localfunc.Call{TaskID: taskID, Node: x.Path, Input: x.Input, Params: x.Params})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return timedOut(x).RunResult
	case err != nil:
		return failed(CodeFuncError, "%s", err).RunResult
	}
	return engine.RunResult{Result: value}
}

// failure is a result under construction.
type failure struct {
	engine.RunResult
	stands bool // even if the attempt's time is over
}

func failed(code, format string, args ...any) failure {
	return failure{RunResult: engine.RunResult{Error: &engine.RunError{Code: code, Message: fmt.Sprintf(format, args...)}}}
}

func timedOut(x engine.Execution) failure {
	return failed(engine.CodeTimeout, "the attempt took longer than its time-out of %s", x.Timeout)
}

// final marks a failure that no further attempt can mend.
func (f failure) final() engine.RunResult {
	f.Error.Final = true
	return f.RunResult
}

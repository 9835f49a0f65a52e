// Package scheduler is the service that executes tasks. It owns the tasks,
// their node runs and their event logs, and decides by the flow's definition
// what happens next.
//
// It refuses to know what a definition may say (shared/flow does), which
// workers live (the registry does) and how pull workers get their jobs (the
// queue-gateway does).
//
// Its parts, from the inside out:
//
//   - internal/engine: a pure function from state and event to the next state.
//   - internal/runner: the durable shell around it; see there for the loops
//     and invariants that make a crash at any moment harmless.
//   - internal/execute, internal/workers, internal/localfunc: how an attempt
//     is carried out, scripts on this machine included.
//   - internal/runlog: what executions write besides their results.
//   - internal/outbox: what goes to the queue-gateway.
//   - internal/plans: compiled flow versions.
//   - internal/approvals: what waits for a decision, and the decisions.
//   - internal/api: the routes.
//
// Beside them, simulate executes flows on a virtual clock, for people and tests.
package scheduler

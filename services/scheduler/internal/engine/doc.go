// Package engine executes flows: a pure function from a task's state and one
// event to the next state and what is to be done about it.
//
//	next, effects := program.Step(state, event)
//
// It has no clock, no I/O, no goroutine and no logger: the time is in the
// event, and ids are derived from the task's. The same events always give the
// same states, byte for byte, which is what replay, simulation and tests build
// on. Its caller commits state and effects in one transaction and only then
// carries the effects out; so an effect may happen twice, and its answer, an
// event that names the run, is applied once.
//
// # State
//
// A State is a chain: the task's own flow has at most one active node, that may
// be a subflow with an active node of its own, and so on; the innermost one may
// be a fan, with many branches that are open. It holds only what cannot be read
// from elsewhere. What a run was given (input and effective params) and how a
// branch ended is in the run's own row; a state that was loaded says which rows
// an event Needs, and Attach gives it those. So a step writes what it changed,
// however large the inputs and however many the branches are.
//
// # Invariants
//
//   - A terminal state never changes; every event leaves it as it is.
//   - A result is applied only to the run that is active under its id. Late
//     and repeated results change nothing.
//   - Every started run is finished exactly once: by its result, a time-out, a
//     cancel, or the end of the task.
//   - A state that is not terminal either executes something, or waits for a
//     pull worker or a signal, or has a due time.
//   - A signal lets at most one visit of a wait pass, and none that came in time
//     is passed over.
package engine

// Package simulate runs a flow without a server: the scheduler's engine on a
// virtual clock, with a script in the place of workers, people and time. It is
// what a test of a flow calls, and what `pocketflow flow simulate` prints.
//
//	trace, err := simulate.Run(ctx, simulate.Config{Definition: def, Script: script})
//
// The engine and the built-in local functions are the scheduler's own, and
// every event goes through the form that the task's log keeps; so a simulated
// task takes the way that a real one would take under the same answers. Time
// costs nothing: the clock jumps to the next thing that happens. The same
// definition, params and script always give the same trace, byte for byte.
//
// At one instant, what comes from outside comes first (signals in the script's
// order, then the cancel), then executions end in the order in which they were
// started, then what is due happens.
//
// A simulation ends with its task, or where the script does not go on: at an
// execution that has no answer, or a wait for a signal that the script never
// sends. Trace.Stopped then says which. That is no failure of the task.
//
// The package refuses to call workers and to run scripts, to know of
// storage, leases or queues, and to read files: its caller does that.
package simulate

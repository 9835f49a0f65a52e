// Package demoworker is the worker that comes with PocketFlow: for the quick
// start, for trying flows out, and for tests. It is built on shared/worker
// alone, as any worker would be, and pushes or pulls alike.
//
// Its services:
//
//   - transform: params.op (else input.op) is upper (the default), lower or
//     mul. upper and lower take a text: the input when it is a text, else
//     input.text, else, when there is no input, params.text. mul multiplies
//     exactly: a number by params.by; each number of an array by params.by, or
//     without it all of them with one another; the object {"a","b"} as a × b.
//     Without an input, mul takes params.a × params.b.
//   - sum: the exact sum of an array of numbers, or of an object's members that
//     are numbers. Without an input it takes params.values.
//   - route: chooses an action, for "post": {"action_key": "action"}. The
//     result is {"action"}: params.action, else input.action, else by
//     threshold: the input (or input.value) at or above params.threshold gives
//     params.above (default "above"), below it params.below (default "below").
//   - flaky: its input, after the first params.failures attempts of the run
//     have failed with params.message; with params.retryable false the first
//     failure is for good. For pushed work: a pulled job tells how often it was
//     delivered, not which attempt it is.
//   - nap: its input, after params.ms milliseconds, else after as many as the
//     input says; at most a minute. It says so in the run's log.
//
// Bad input fails a run for good, with a sentence that says what was expected;
// repeating it would not help. It refuses to be useful beyond that: a real
// worker is a program of its own.
package demoworker

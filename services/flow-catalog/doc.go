// Package catalog is the service that keeps flows and their versions.
//
// It owns the names, the numbers and the text of definitions, and the rule
// that nothing is stored that would not run: it validates with the package
// that the scheduler compiles with. It refuses to know of tasks: which version
// a task runs is pinned by the scheduler.
//
// It runs no loop; all its work happens in requests, and replicas share
// nothing but the database.
//
// Invariants:
//
//   - A version never changes, so it may be cached for ever.
//   - (flow, version) is unique; version 0 takes the next number, also when
//     many publish at once.
//   - A definition is stored as canonical JSON text, whatever it came as.
//   - Validating a definition reports what publishing it would, and stores
//     nothing.
package catalog

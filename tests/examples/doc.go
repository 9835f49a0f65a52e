// Package examples reads the flows of the examples directory together with what
// they are expected to come to, shows them as text for its README, and runs
// their cases on a suite. Its tests do so on the real binaries: all in one
// process and as five, on SQLite and on Postgres.
//
// It holds no expectation of its own: those stand beside the flows, in
// examples/expected, where a reader of the examples finds them.
package examples

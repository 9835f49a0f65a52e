// Package operations holds docs/operations.md to what it says: its commands are
// run as they stand there, and a suite that is backed up under load and restored
// brings every task to its right end, on SQLite and on Postgres. It runs real
// processes.
package operations

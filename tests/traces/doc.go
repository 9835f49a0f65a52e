// Package traces holds the suite to its traces: what a client sends with the
// task it creates comes out, span by span, of every service and worker that had
// a part in it.
package traces

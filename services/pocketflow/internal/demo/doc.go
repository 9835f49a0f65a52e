// Package demo runs the example flows on a suite with real workers and checks
// what comes out: each scenario is a task of one example, the shared state it
// must end with and the nodes it must have gone through.
//
// It owns the examples' expected results. It refuses to know where the suite
// and the workers run: in this process or on other machines, they are the same.
package demo

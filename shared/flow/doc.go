// Package flow owns the meaning of a flow definition: it parses one from JSON
// or YAML, finds every fault in it, and compiles it to an immutable Plan. The
// catalog validates with it when a version is published, the scheduler
// compiles and executes with it, the command line validates with it offline;
// so what publishes, runs.
//
// It refuses to know about tasks, time, storage or HTTP. Executing a plan is
// the engine's; here is only what can be said from the definition and the JSON
// values that a node is given.
package flow

// Package registry is the service that knows the workers: who they are, where
// they listen, what they offer and whether they live.
//
// It owns the workers' registrations and heartbeats, the rule of who is online
// (heard of within the TTL), the check of the addresses that workers name, and
// the snapshot that schedulers keep of the online workers. It refuses to call a
// worker: whether one answers is found out by who gives it work.
//
// Loops, all owned by Run: heartbeats are flushed to the database in groups,
// the view is refreshed from the database so that replicas converge, and
// workers not heard of for long are pruned.
//
// Invariants:
//
//   - A registration is durable before it is answered; a heartbeat is not, it
//     is absorbed in memory and becomes durable within a flush interval.
//   - The database decides who is registered, the younger of memory and
//     database when a worker was last heard of.
//   - A worker past its TTL is offline, not gone: a late heartbeat brings it
//     back, until it is pruned.
//   - Snapshots of equal sets of online workers have equal versions, on every
//     replica and across restarts.
package registry

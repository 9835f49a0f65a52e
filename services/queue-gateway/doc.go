// Package queuegateway is the service that pull workers fetch their jobs from.
//
// It owns the jobs of nodes with exec_type queue, the claims on them, and the
// workers' answers until the scheduler has them. It refuses to know what a job
// means: inputs and results pass through it as they are, and what an answer
// does to a task is the scheduler's affair.
//
// Loops, all owned by Run: hints of ready jobs, and of room under a service's
// limit, wake the polls that wait; a watch makes claims that timed out ready
// again (or dead, after too many deliveries) and wakes polls when delayed jobs
// become ready or a rate lets jobs through; results are delivered to the
// scheduler until it has them, by the replica that accepted them, and by any
// that finds them when that one does not.
//
// Invariants:
//
//   - Two polls never get one job, on any number of replicas.
//   - A job is not claimed for a caller that is gone: a claim whose caller
//     leaves before its answer is given back at once.
//   - A worker is answered 200 only after its result and the message to the
//     scheduler are durable, in one transaction; the message is repeated until
//     acknowledged.
//   - What a worker reports before its answer (that it runs, lines for the log)
//     is passed on while the worker waits, and kept here at no time.
//   - Limits hold for all replicas together, over restarts, and whatever
//     becomes of a claim.
//   - A withdrawal counts whether it comes after its job or before it.
//   - Waiting costs nothing per poll: one ticker looks for jobs that nobody
//     announced, and a job wakes as many polls as it needs and one more.
package queuegateway

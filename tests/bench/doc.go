// Package bench measures the suite from outside: real processes, real
// databases, the wire. It holds benchmarks only, so that no test depends on
// how busy its machine is. The figures of single packages are beside those
// packages.
//
// # Works
//
// BenchmarkWorks measures what the suite costs beside what the work costs
// whoever does it:
//
//	make bench                                  # all works
//	make bench WORKS=W1,W2                      # these
//	make bench WORKS=W4 HISTORY=1000000         # after a million finished tasks
//	make bench ROUNDS=5 SCALE=2                 # five rounds of twice the length
//
// The bare cost is that of the floor (tests/bench/floor), a program with the
// same requests, the same bodies, and the same number of durable commits a
// task, with those that wait together in one; and nothing else. It serves the
// same clients, and calls the same worker, both of which are in the benchmark's
// own process and use its processors as well.
//
// Floor and suite run at the same time and are measured by turns, in rounds. A
// machine has its moods, and others at work on it, so a figure by itself says
// little: what is to be compared is the ratio to the floor of the same round, of
// which the median of all rounds is given, the least and the most behind it.
//
// A row of the table has, over all rounds:
//
//	CPU µs/task       processor time of the system's processes, Postgres not among them
//	peak MB           the most resident memory of a measurement, the sum of its processes
//	written KiB/task  sent to disks, page by page; with Postgres, what its log grew by
//	commits/task      transactions that were committed
//	writes/commit     writes that shared one; a task of three steps is four
//
// What is to be reached stands in the last column, as met or not, and fails
// nothing. What fails a benchmark is a wrong result: after each measurement the
// server's count of tasks is held to that of the client, the worker's account of
// effects to one for each step of each task, and the state of some hundred tasks
// to what it is to be.
//
// # The others
//
// They measure one thing each, and what is promised in figures fails the
// benchmark that measures it:
//
//	go test -run '^$' -bench 'Timers|Signals' ./tests/bench
package bench

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
//	make bench                                  # all works, some six minutes
//	make bench WORKS=W1,W2                      # these, in the order of the package
//	make bench WORKS=W4 HISTORY=1000000         # after a million finished tasks
//	make bench ROUNDS=5 SCALE=2                 # five rounds, each of twice the length
//	make bench WORKS=W1 ROUNDS=1 SCALE=5 PROFILES=/tmp/profiles   # for go tool pprof
//
// It prints a table for each work and writes the same as JSON to bench.json. The
// variable works tells what each of them is; targets, what it is to reach. The
// works on Postgres are skipped where there is none; package pgtest says how it
// is found.
//
// The bare cost is that of the floor (tests/bench/floor), a program with the
// same requests, the same bodies, the same calls of the worker and the same
// number of durable commits a task, with those that wait together in one; and
// nothing else. It is as fast as such a program is with the libraries that the
// suite has. Client and worker are those of the suite's measurements, in the
// benchmark's own process: they take their part of the processors from both.
//
// Floor and suite run side by side and are measured by turns, a second each,
// three such slices to a round. A machine has its moods, and others at work on
// it, so a figure by itself says little: what is to be compared is the ratio to
// the floor of the same round. Works of the suite beside itself, such as W4, have
// the ratio to the row that stands first. The table has the median of the rounds,
// with the least and the most, and of all rounds together
//
//	CPU µs each       processor time of the system's processes, without Postgres, and
//	                  how many times that of what the ratio is to; others on the
//	                  machine change it least of all figures
//	clients' CPU      processor time of the benchmark: clients, workers, load balancers
//	peak MB           most resident memory in a slice, the sum of its processes
//	written KiB each  sent to disks, whole pages; with Postgres, what its log grew by
//	commits each      transactions that were committed
//	writes/commit     writes that shared one: a task of three steps has four, one of the queue five
//
// where each is a task, and in W5 a branch. Figures of single tasks (W2, W3l) are
// from the request that creates the task until its end is read, or the job is
// with its worker.
//
// The last column tells whether a target is met, and fails nothing. What fails a
// benchmark is a wrong result. After each slice the server's count of tasks is
// held to the client's, the worker's account to one effect for each step of each
// task, and the shared state of a hundred tasks to what it is to be; at the end
// the worker is to have heard of no task again.
//
// The finished tasks of W4 and the waiting ones of W6 begin as tasks that the
// suite has executed, and are then copied under new ids within its database,
// with all rows that belong to them, while the server is down.
//
// # The others
//
// They measure one thing each, and what is promised in figures fails the
// benchmark that measures it:
//
//	make bench-each
//	go test -run '^$' -bench 'Timers|Signals' ./tests/bench
package bench

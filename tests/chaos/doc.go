// Package chaos holds the suite to what it promises when things go wrong:
// servers killed in the middle of work, a replica paused past its leases,
// workers that are slow, cancels at every moment, requests that make no sense,
// processes that cannot start; and when nothing happens, for tasks that wait.
// Every test runs real processes on real databases.
package chaos

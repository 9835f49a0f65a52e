// Package chaos holds the suite to what it promises when things go wrong:
// servers killed in the middle of work, a replica paused past its leases,
// workers that are slow, requests that make no sense, processes that cannot
// start. Every test runs real processes on real databases.
package chaos

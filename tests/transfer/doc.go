// Package transfer holds pocketflow store copy to what it promises: rows of
// every table and every kind of value go over and back unchanged, a suite goes on
// where it stood, a copy that is killed comes to the right end, and what must not
// be copied is refused. It runs on real databases and real processes.
package transfer

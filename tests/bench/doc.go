// Package bench measures the suite from outside: real processes, real
// databases, the wire. It holds benchmarks only, so that no test depends on
// how busy its machine is:
//
//	go test -run '^$' -bench . ./tests/bench
//
// What is promised in figures fails the benchmark that measures it. The figures
// of single packages are beside those packages.
package bench

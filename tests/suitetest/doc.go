// Package suitetest runs the real binaries for tests: it builds them, starts
// them as processes on free ports of this machine, sends them signals, and
// talks to them through the typed clients of shared/api.
//
// A process that it starts ends with its test, and, where the system offers it
// (Linux), with the test process, however that ends. Package suitetest knows
// no flow and judges no result; it serves systems with signals (unix).
package suitetest

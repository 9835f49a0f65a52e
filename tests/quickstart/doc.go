// Package quickstart does what a newcomer does, and what one did with the
// published quick start: the demo in one process and in five, and the variables
// and requests of old clients and workers. Every test runs real processes.
package quickstart

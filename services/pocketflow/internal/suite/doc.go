// Package suite runs all five services in one process. Each is the very service
// that also runs alone: it has its own database and is called through its
// routes, only that the calls between them go through an in-process transport
// instead of a socket. The gateway's routes are the suite's.
//
// It owns the order: services start with those that others call first (registry
// and flow-catalog, which call nobody; queue-gateway; then the scheduler, which
// takes up the tasks of the last run the moment it starts and calls all three;
// the gateway last, so that nobody is let in before there is someone to answer)
// and stop in the reverse order, each when the one before has drained. So work
// under way can still reach what it needs, and databases close after their last
// write. It refuses to know what any service does.
package suite

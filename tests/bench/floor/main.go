// Command floor is the bare cost of the work that package bench has the suite
// do: it answers the same requests with the same bodies, makes the same calls
// of the worker, and for each commit that a task costs the suite it writes a
// row of about the same bytes, with all rows that wait together in one durable
// commit. It does nothing else: it knows no flow definition, keeps no history,
// holds no lease, retries nothing, and what it had in hand when it ends is lost.
//
// What it is told to do is in the flow version that a task names:
//
//	steps-3   three calls of the worker, one after the other
//	queue     one job for pull workers
//	wait      nothing: the task waits for ever
//	fan-100   a hundred calls of the worker, a hundred at a time
//
// What follows a "#" tells the tasks of one measurement from those of another.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	addr := flag.String("addr", "", "address to serve at")
	dsn := flag.String("db", "", "path of a SQLite file, or postgres://…")
	worker := flag.String("worker", "", "URL of the push worker")
	flag.Parse()
	if err := run(*addr, *dsn, *worker); err != nil {
		fmt.Fprintf(os.Stderr, "floor: %v\n", err)
		os.Exit(1)
	}
}

func run(addr, dsn, worker string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	store, err := openStore(ctx, dsn)
	if err != nil {
		return err
	}
	defer store.close()
	return newServer(store, worker).serve(ctx, addr)
}

// Package worker is the Go SDK for PocketFlow workers: give it functions, and
// it makes a worker of them.
//
//	w, err := worker.New(worker.Config{RegistryURL: "http://127.0.0.1:8070", Addr: "127.0.0.1:8081"}, worker.Deps{})
//	…
//	w.Handle("greet", func(ctx context.Context, job worker.Job) (any, error) {
//		var name string
//		if err := job.DecodeInput(&name); err != nil {
//			return nil, err
//		}
//		return "hello " + name, nil
//	})
//	return w.Run(ctx)
//
// A push worker (the default) listens and is called: POST /exec/{service}. A
// pull worker listens nowhere and fetches jobs from the queue-gateway; it suits
// machines that nobody can reach. The functions are the same for both.
//
// What it owns: registering and heartbeats, with the executions under way as
// the load; the calls or the claims; a stop that first deregisters, then lets
// work under way finish. A panic in a function fails that one execution.
//
// A pull worker polls for as many jobs as it has free slots, and keeps all its
// claims by one heartbeat, whose answer ends the context of work that is not
// wanted any more. It takes no more jobs while it cannot keep those it has, or
// the registry cannot be reached. Answers are repeated until they are heard;
// those that wait together share a request.
//
// What it refuses: it keeps nothing on disk. Work is delivered at least once: a
// run may come again after a crash of the scheduler, under the same
// Job.RunID. The worker remembers the answers of recent runs and gives them
// again instead of executing twice, but only in this process and for some
// time; an effect that must never happen twice uses RunID as its own
// idempotency key.
package worker

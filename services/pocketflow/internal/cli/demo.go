package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	demoworker "github.com/pocketflowgo/pocketflow/services/demo-worker"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/demo"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/remote"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/suite"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/obs"
	"github.com/pocketflowgo/pocketflow/shared/worker"
)

// demoCmd serves and works in this process, unless --server names a suite that
// is running, with its workers. Only the flag counts for that: a demo must not
// reach a server because of what the environment says.
type demoCmd struct {
	Data string `help:"Keep the databases in this directory instead of a temporary one." placeholder:"DIR"`
}

func (c demoCmd) Run(ctx context.Context, s *session) error {
	if s.given("server") {
		srv, err := s.connect()
		if err != nil {
			return err
		}
		return s.demonstrate(ctx, srv)
	}
	dir := c.Data
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "pocketflow-demo-"); err != nil {
			return fmt.Errorf("make a temporary data directory: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	return s.withSuite(ctx, dir, func(ctx context.Context, srv *remote.Server) error {
		return s.demonstrate(ctx, srv)
	})
}

// given reports whether the flag stands on the command line.
func (s *session) given(name string) bool {
	for _, part := range s.parsed.Path {
		if part.Flag != nil && part.Flag.Name == name {
			return true
		}
	}
	return false
}

// demoDrain bounds the stop after a demo; there is no work left to wait for.
const demoDrain = 5 * time.Second

// withSuite serves a suite on the directory and a worker beside it, over real
// HTTP, calls use, and stops both.
func (s *session) withSuite(ctx context.Context, dir string, use func(context.Context, *remote.Server) error) error {
	log, err := obs.NewLogger("warn", obs.LogConsole)
	if err != nil {
		return err
	}
	cfg, err := suite.Throwaway(dir)
	if err != nil {
		return err
	}
	services, err := suite.New(ctx, cfg, suite.Deps{Log: log})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, running := errgroup.WithContext(ctx)
	bound := make(chan net.Addr, 1)
	group.Go(func() error {
		return app.Serve(running, app.ServeParams{
			Addr: cfg.Addr, Service: services, Log: log, Drain: demoDrain,
			Started: func(addr net.Addr) { bound <- addr },
		})
	})
	group.Go(func() error {
		defer stop() // whatever happens below, nothing is left running
		select {
		case addr := <-bound:
			return s.withWorker(running, workerParams{base: "http://" + addr.String(), log: log, use: use})
		case <-running.Done():
			return nil // the server says why
		}
	})
	return group.Wait()
}

type workerParams struct {
	base string
	log  *zap.Logger
	use  func(context.Context, *remote.Server) error
}

// withWorker runs the demo worker while use is called.
func (s *session) withWorker(ctx context.Context, p workerParams) error {
	w, err := demoworker.New(demoworker.Config{
		ID: "demo-worker", Mode: worker.Push, Addr: "127.0.0.1:0", Base: p.base, Drain: demoDrain,
	}, demoworker.Deps{Log: p.log, HTTP: s.http})
	if err != nil {
		return err
	}
	srv, err := remote.Connect(p.base, s.http)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return w.Run(running) })
	group.Go(func() error {
		defer stop()
		return p.use(running, srv)
	})
	return group.Wait()
}

// demonstrate runs the demo against a suite and prints it.
func (s *session) demonstrate(ctx context.Context, srv *remote.Server) error {
	begin := time.Now()
	view := &demoView{out: s.Out}
	if s.output == term.JSON { // results alone go to stdout then, and at the end
		view.out = s.Err
	}
	view.progress = term.NewProgress(view.out)
	results, err := demo.Run(ctx, srv, view)
	view.progress.Done()
	if err != nil {
		return err
	}
	if view.err != nil {
		return fmt.Errorf("print: %w", view.err)
	}
	wrong := 0
	for _, r := range results {
		if !r.OK() {
			wrong++
		}
	}
	if s.output == term.JSON {
		if err := term.WriteJSON(s.Out, results); err != nil {
			return err
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %s did not end as expected", wrong, countOf(len(results), "task"))
	}
	fmt.Fprintf(view.out, "\nAll %d tasks ended as expected, in %s.\n", len(results), time.Since(begin).Round(time.Millisecond))
	return nil
}

// demoView shows a demo: for every scenario a progress line while its task
// runs, then the task and its runs as tables.
type demoView struct {
	out      io.Writer
	progress *term.Progress
	err      error // the first failure to print
}

// Applied implements demo.Viewer.
func (v *demoView) Applied(a remote.Applied) {
	v.progress.Say(fmt.Sprintf("flow %s: version %d (%s)", a.Name, a.Version, a.Change))
}

// Started implements demo.Viewer.
func (v *demoView) Started(scenario demo.Scenario) {
	fmt.Fprintln(v.out)
	v.progress.Say("== " + scenario.Title)
}

// Task implements demo.Viewer.
func (v *demoView) Task(task schedulerapi.Task) { v.progress.Show(standing(task)) }

// Finished implements demo.Viewer.
func (v *demoView) Finished(r demo.Result) {
	v.progress.Done()
	v.err = errors.Join(v.err, writeTask(v.out, r.Task))
	fmt.Fprintln(v.out)
	v.err = errors.Join(v.err, writeRuns(v.out, r.Runs))
	for _, fault := range r.Faults {
		fmt.Fprintln(v.out, "WRONG: "+term.Printable(fault))
	}
}

package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/remote"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
)

type queueCmds struct {
	Stats   queueStatsCmd   `cmd:"" help:"Count the jobs of each service."`
	Dead    queueDeadCmd    `cmd:"" help:"List the jobs that were delivered too often without an answer, newest first."`
	Requeue queueRequeueCmd `cmd:"" help:"Make dead jobs ready again."`
	Discard queueDiscardCmd `cmd:"" help:"Remove dead jobs for good."`
	Limits  queueLimitsCmd  `cmd:"" help:"List the limits of services, or set those of one."`
}

type queueStatsCmd struct{}

func (queueStatsCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	stats, err := srv.Queue.Stats(ctx)
	if err != nil {
		return err
	}
	return s.print(stats, func(w io.Writer) error {
		table := term.NewRows("SERVICE", "READY", "DELAYED", "CLAIMED", "DEAD", "OLDEST READY")
		for _, one := range stats {
			oldest := "-"
			if one.Ready > 0 {
				oldest = (time.Duration(one.OldestAgeMS) * time.Millisecond).String()
			}
			table.Add(one.Service, one.Ready, one.Delayed, one.Claimed, one.Dead, oldest)
		}
		_, err := table.WriteTo(w)
		return err
	})
}

type queueDeadCmd struct {
	Service string `help:"Only jobs of this service." placeholder:"NAME"`
	page
}

func (c queueDeadCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	dead, err := srv.Queue.ListDead(ctx, queueapi.DeadQuery{Service: c.Service, Page: c.Page, PageSize: c.Size, Cursor: c.Cursor})
	if err != nil {
		return err
	}
	return s.print(dead, func(w io.Writer) error {
		table := term.NewRows("JOB", "SERVICE", "TASK", "NODE", "DELIVERIES", "LAST WORKER", "DEAD SINCE")
		for _, job := range dead.Data {
			table.Add(job.ID, job.Service, job.TaskID, job.Path, job.Deliveries, job.WorkerID, moment(job.DeadAt))
		}
		if _, err := table.WriteTo(w); err != nil {
			return err
		}
		writeMore(s.Err, len(dead.Data), dead.Total, dead.NextCursor)
		return nil
	})
}

type queueRequeueCmd struct {
	Jobs []string `arg:"" name:"job" help:"Ids of the jobs."`
}

func (c queueRequeueCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	outcomes, err := srv.Queue.Requeue(ctx, c.Jobs)
	if err != nil {
		return err
	}
	return s.printOutcomes("requeued", outcomes)
}

type queueDiscardCmd struct {
	Jobs []string `arg:"" name:"job" help:"Ids of the jobs."`
}

func (c queueDiscardCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	outcomes, err := srv.Queue.Discard(ctx, c.Jobs)
	if err != nil {
		return err
	}
	return s.printOutcomes("discarded", outcomes)
}

// printOutcomes tells what became of each job. The last failure is the
// command's.
func (s *session) printOutcomes(done string, outcomes []queueapi.Outcome) error {
	var failed error
	err := s.print(queueapi.Outcomes{Results: outcomes}, func(w io.Writer) error {
		for _, one := range outcomes {
			if one.Err() != nil {
				continue
			}
			if _, err := fmt.Fprintf(w, "%s %s\n", done, term.Printable(one.QueueID)); err != nil {
				return err
			}
		}
		return nil
	})
	for _, one := range outcomes {
		if one.Err() == nil {
			continue
		}
		if failed != nil {
			report(s.Err, failed)
		}
		failed = one.Err()
	}
	if failed != nil {
		return failed
	}
	return err
}

type queueLimitsCmd struct {
	Service       string   `arg:"" optional:"" help:"Service to limit. What is not given is not limited any more."`
	MaxClaimed    *int     `help:"Most jobs with workers at once." placeholder:"N"`
	RatePerSecond *float64 `name:"rate" help:"Most deliveries a second in the long run." placeholder:"N"`
	Burst         *int     `help:"Most deliveries at once under a rate; what it lets through in a second when not given." placeholder:"N"`
	None          bool     `help:"Take the limits away."`
}

func (c queueLimitsCmd) Run(ctx context.Context, s *session) error {
	set := c.MaxClaimed != nil || c.RatePerSecond != nil || c.Burst != nil
	switch {
	case c.Service == "" && (set || c.None):
		return usagef("limits are of a service: pocketflow queue limits SERVICE …")
	case c.Service != "" && set == c.None:
		return usagef("%s: give limits, or --none", c.Service)
	}
	srv, err := s.connect()
	if err != nil {
		return err
	}
	if c.Service == "" {
		return listLimits(ctx, s, srv)
	}
	limits := queueapi.ServiceLimits{
		Service: c.Service, MaxClaimed: orZero(c.MaxClaimed), RatePerSecond: orZero(c.RatePerSecond), Burst: orZero(c.Burst),
	}
	if err := srv.Queue.SetLimits(ctx, limits); err != nil {
		return err
	}
	return s.printDone("set the limits of " + term.Printable(c.Service))
}

func listLimits(ctx context.Context, s *session, srv *remote.Server) error {
	limits, err := srv.Queue.Limits(ctx)
	if err != nil {
		return err
	}
	return s.print(limits, func(w io.Writer) error {
		table := term.NewRows("SERVICE", "MAX CLAIMED", "RATE PER SECOND", "BURST")
		for _, one := range limits {
			table.Add(one.Service, orDash(one.MaxClaimed), orDash(one.RatePerSecond), orDash(one.Burst))
		}
		_, err := table.WriteTo(w)
		return err
	})
}

func orZero[T any](value *T) T {
	if value == nil {
		var zero T
		return zero
	}
	return *value
}

// orDash is a number as tables show it; "-" for 0, which is no limit.
func orDash[T int | float64](n T) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

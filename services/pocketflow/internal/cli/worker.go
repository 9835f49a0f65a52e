package cli

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
)

type workerCmds struct {
	List workerListCmd `cmd:"" help:"List the workers, online or not."`
}

type workerListCmd struct {
	Service string `help:"Only workers that offer this service." placeholder:"NAME"`
}

func (c workerListCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	workers, err := srv.Workers.List(ctx, c.Service)
	if err != nil {
		return err
	}
	return s.print(workers, func(w io.Writer) error {
		table := term.NewRows("ID", "STATUS", "TYPE", "SERVICES", "LOAD", "LAST HEARTBEAT", "URL")
		for _, one := range workers {
			table.Add(one.ID, one.Status, one.Type, strings.Join(one.Services, ","), one.Load, moment(one.LastHeartbeat), one.URL)
		}
		_, err := table.WriteTo(w)
		return err
	})
}

// moment is a wire time (unix ms) as tables show it; "-" for one that has not
// come.
func moment(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}

// took is the time between two wire times as tables show it; "-" while the end
// has not come.
func took(from, to int64) string {
	if from == 0 || to == 0 {
		return "-"
	}
	if from == to {
		return "<1ms"
	}
	return (time.Duration(to-from) * time.Millisecond).String()
}

package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/storage/backup"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

type storeBackupCmd struct {
	From []string `required:"" sep:"none" help:"Where the SQLite databases are: their directory. For one that is elsewhere: SERVICE=FILE, besides or alone; repeat." placeholder:"PLACE"`
	To   string   `required:"" help:"Directory that is made, with a file for each database." placeholder:"DIR"`
}

// backupReport is a backup as it is printed.
type backupReport struct {
	AtMS      int64          `json:"at"`
	HeldMS    float64        `json:"held_ms"` // for how long the services could not write
	Databases []backedUpFile `json:"databases"`
}

type backedUpFile struct {
	Service string `json:"service"`
	File    string `json:"file"`
	Bytes   int64  `json:"bytes"`
	Version int64  `json:"version"`
}

func (c storeBackupCmd) Run(ctx context.Context, s *session) error {
	from, err := c.sources()
	if err != nil {
		return err
	}
	to, err := filepath.Abs(c.To)
	if err != nil {
		return usagef("--to: %v", err)
	}
	progress := newTransferProgress(s.Err)
	report, err := backup.Take(ctx, backup.Params{From: from, To: to, Tell: progress.tellBackup})
	progress.done()
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Err, "as of %s; services could not write for %s\n", report.At.Format(time.RFC3339Nano), report.Held.Round(time.Millisecond/10))
	out := backupReport{AtMS: report.At.UnixMilli(), HeldMS: float64(report.Held.Microseconds()) / 1000}
	for _, one := range report.Databases {
		out.Databases = append(out.Databases, backedUpFile{Service: one.Service, File: one.Path, Bytes: one.Bytes, Version: one.Version})
	}
	return s.print(out, func(w io.Writer) error {
		rows := term.NewRows("SERVICE", "BYTES", "VERSION", "FILE")
		for _, one := range out.Databases {
			rows.Add(one.Service, one.Bytes, one.Version, one.File)
		}
		_, err := rows.WriteTo(w)
		return err
	})
}

// sources are the databases that are named. The scheduler's and the queue's go
// together: each has forgotten what the other has taken over from it.
func (c storeBackupCmd) sources() ([]migrate.Target, error) {
	names, err := databasesAt(c.From)
	if err != nil {
		return nil, usagef("--from: %v", err)
	}
	if (names[migrations.Scheduler] == "") != (names[migrations.Queue] == "") {
		return nil, usagef("--from: of the databases of the scheduler and of the queue, one alone is of no use: name both")
	}
	var from []migrate.Target
	for _, service := range migrations.Services {
		if names[service] != "" {
			from = append(from, migrate.Target{Service: service, DSN: names[service]})
		}
	}
	return from, nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/suite"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/storage/transfer"
)

type storeCmds struct {
	Backup storeBackupCmd `cmd:"" help:"Copy the SQLite databases of a suite as they all are at one moment, while it serves."`

	Copy   storeCopyCmd   `cmd:"" help:"Copy all databases of a stopped suite, from SQLite to Postgres, back, or within one kind, and compare the result. Stopped or killed, the same command goes on."`
	Verify storeVerifyCmd `cmd:"" help:"Compare all databases of a stopped suite with a copy, and change neither."`
}

// places name the two sides. A place has no default and no environment name:
// what is copied where is said each time.
type places struct {
	From []string `required:"" sep:"none" help:"Where the databases are: a directory of SQLite files, or the URL of a Postgres database. For a service with a database elsewhere: SERVICE=URL, besides or alone; repeat." placeholder:"PLACE"`
	To   []string `required:"" sep:"none" help:"Where the copy is, in the same forms; missing schemas and files are made." placeholder:"PLACE"`
}

// pairs are the services that both sides name.
func (p places) pairs() ([]transfer.Pair, error) {
	from, err := databasesAt(p.From)
	if err != nil {
		return nil, usagef("--from: %v", err)
	}
	to, err := databasesAt(p.To)
	if err != nil {
		return nil, usagef("--to: %v", err)
	}
	var pairs []transfer.Pair
	for _, service := range migrations.Services {
		switch {
		case from[service] == "" && to[service] == "":
		case from[service] == "":
			return nil, usagef("--to names a database for %s, --from does not", service)
		case to[service] == "":
			return nil, usagef("--from names a database for %s, --to does not", service)
		case from[service] == to[service]:
			return nil, usagef("--from and --to name the same database for %s", service)
		default:
			pairs = append(pairs, transfer.Pair{Service: service, From: from[service], To: to[service]})
		}
	}
	return pairs, nil
}

// databasesAt finds the data source name of each service that is named.
func databasesAt(given []string) (map[string]string, error) {
	names := map[string]string{}
	whole := ""
	for _, place := range given {
		service, url, found := strings.Cut(place, "=")
		switch {
		case place == "":
			return nil, errors.New("it is empty")
		case found && slices.Contains(migrations.Services, service):
			if names[service] != "" {
				return nil, fmt.Errorf("it names two databases for %s", service)
			}
			names[service] = url
		case whole != "":
			return nil, errors.New("it names two places for all services")
		default:
			whole = place
		}
	}
	for _, service := range migrations.Services {
		if whole == "" || names[service] != "" {
			continue
		}
		var err error
		if names[service], err = inPlace(whole, service); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// inPlace is the data source name of a service's database in a directory or a
// Postgres database.
func inPlace(place, service string) (string, error) {
	scheme, rest, isURL := strings.Cut(place, "://")
	switch {
	case isURL && scheme != "sqlite":
		return place, nil
	case isURL:
		place = rest
	}
	if strings.HasSuffix(place, ".db") {
		return "", errors.New("a single file is one service's: name its directory, or SERVICE=FILE")
	}
	dir, err := filepath.Abs(place)
	if err != nil {
		return "", fmt.Errorf("find the directory: %w", err)
	}
	return suite.InDirectory(dir, service), nil
}

type storeCopyCmd struct{ places }

func (c storeCopyCmd) Run(ctx context.Context, s *session) error {
	report, err := c.run(ctx, s, transfer.Copy)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(s.Err, "stopped: the same command goes on from here")
	case errors.Is(err, transfer.ErrDiffers):
		fmt.Fprintln(s.Err, "the target stays marked as unfinished, and services do not start on it: empty it and copy again")
	case err == nil && report.Copied > 0:
		fmt.Fprintf(s.Err, "copied %d rows, %.0f a second\n", report.Copied, float64(report.Copied)/report.CopySeconds)
	}
	return err
}

type storeVerifyCmd struct{ places }

func (c storeVerifyCmd) Run(ctx context.Context, s *session) error {
	_, err := c.run(ctx, s, transfer.Compare)
	return err
}

type transferring func(context.Context, transfer.Params) (transfer.Report, error)

// run carries the work out, shows how far it is, and prints the tables.
func (p places) run(ctx context.Context, s *session, work transferring) (transfer.Report, error) {
	pairs, err := p.pairs()
	if err != nil {
		return transfer.Report{}, err
	}
	progress := newTransferProgress(s.Err)
	report, err := work(ctx, transfer.Params{Pairs: pairs, Tell: progress.tell})
	progress.done()
	if len(report.Tables) > 0 {
		printed := s.print(report, func(w io.Writer) error { return writeTables(w, report.Tables) })
		err = errors.Join(err, printed)
	}
	return report, err
}

// shownDigest is how much of a digest tables show; JSON has all of it.
const shownDigest = 16

func writeTables(w io.Writer, tables []transfer.Table) error {
	rows := term.NewRows("SERVICE", "TABLE", "ROWS", "DIGEST", "RESULT")
	for _, one := range tables {
		if one.Equal {
			rows.Add(one.Service, one.Table, one.From.Rows, one.From.SHA256[:shownDigest], "equal")
			continue
		}
		rows.Add(one.Service, one.Table, fmt.Sprintf("%d, %d", one.From.Rows, one.To.Rows),
			one.From.SHA256[:shownDigest]+", "+one.To.SHA256[:shownDigest], "DIFFERENT")
	}
	_, err := rows.WriteTo(w)
	return err
}

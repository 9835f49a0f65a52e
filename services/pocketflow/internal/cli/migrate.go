package cli

import (
	"cmp"
	"context"
	"io"
	"net/url"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/suite"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

type migrateCmd struct {
	databases
	Up     migrateUpCmd     `cmd:"" help:"Apply every migration that a database has not seen."`
	Down   migrateDownCmd   `cmd:"" help:"Take the last migration back, and the data in what it made with it."`
	Status migrateStatusCmd `cmd:"" help:"Tell where the databases stand."`
}

// databases name the databases as serve does. SQLite files are refused while a
// server has them.
type databases struct {
	Service     string `help:"Only this service: registry, catalog, scheduler or queue." enum:",registry,catalog,scheduler,queue" default:"" placeholder:"NAME"`
	Data        string `help:"Directory of the SQLite databases." default:"./data" env:"POCKETFLOW_DATA"`
	RegistryDB  string `name:"registry-db" help:"Database of the registry." env:"REGISTRY_DB" placeholder:"URL"`
	CatalogDB   string `name:"catalog-db" help:"Database of the flow catalog." env:"CATALOG_DB" placeholder:"URL"`
	SchedulerDB string `name:"scheduler-db" help:"Database of the scheduler." env:"SCHEDULER_DB" placeholder:"URL"`
	QueueDB     string `name:"queue-db" help:"Database of the queue-gateway." env:"QUEUE_DB" placeholder:"URL"`
}

// schema is where one database stands.
type schema struct {
	Service  string      `json:"service"`
	DSN      string      `json:"database"` // without its password
	Version  int64       `json:"version"`
	Expected int64       `json:"expected"` // by this binary
	State    schemaState `json:"state"`
}

type schemaState string

const (
	schemaCurrent schemaState = "current"
	schemaOlder   schemaState = "older"
	schemaNewer   schemaState = "newer"
)

func stateOf(status migrate.Status) schemaState {
	switch cmp.Compare(status.Database, status.Binary) {
	case -1:
		return schemaOlder
	case 1:
		return schemaNewer
	default:
		return schemaCurrent
	}
}

type migration func(context.Context, migrate.Target) (migrate.Status, error)

// each migrates the chosen databases in turn, stops at the first that fails,
// and prints how far it came.
func (d databases) each(ctx context.Context, s *session, step migration) error {
	given := map[string]string{
		migrations.Registry: d.RegistryDB, migrations.Catalog: d.CatalogDB,
		migrations.Scheduler: d.SchedulerDB, migrations.Queue: d.QueueDB,
	}
	all := []schema{}
	var failed error
	for _, service := range migrations.Services {
		if d.Service != "" && d.Service != service {
			continue
		}
		target := migrate.Target{Service: service, DSN: given[service]}
		if target.DSN == "" {
			if failed = suite.MakeWritable(d.Data); failed != nil {
				break
			}
			target.DSN = suite.InDirectory(d.Data, service)
		}
		var status migrate.Status
		if status, failed = step(ctx, target); failed != nil {
			break
		}
		all = append(all, schema{
			Service: service, DSN: withoutPassword(target.DSN),
			Version: status.Database, Expected: status.Binary, State: stateOf(status),
		})
	}
	if len(all) > 0 {
		err := s.print(all, func(w io.Writer) error { return writeSchemas(w, all) })
		if err != nil {
			return err
		}
	}
	return failed
}

func writeSchemas(w io.Writer, all []schema) error {
	table := term.NewRows("SERVICE", "VERSION", "EXPECTED", "STATE", "DATABASE")
	for _, one := range all {
		table.Add(one.Service, one.Version, one.Expected, one.State, one.DSN)
	}
	_, err := table.WriteTo(w)
	return err
}

// hidden stands where a secret would.
const hidden = "xxxxx"

// withoutPassword is a data source name as it may be shown. What does not
// parse may hold a password anywhere and is hidden whole.
func withoutPassword(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return hidden
	}
	query := u.Query()
	for name := range query {
		if isSecret(name) {
			query.Set(name, hidden)
			u.RawQuery = query.Encode()
		}
	}
	return u.Redacted()
}

type migrateUpCmd struct{}

func (migrateUpCmd) Run(ctx context.Context, s *session, all *migrateCmd) error {
	return all.each(ctx, s, migrate.Up)
}

type migrateDownCmd struct{}

func (migrateDownCmd) Run(ctx context.Context, s *session, all *migrateCmd) error {
	return all.each(ctx, s, migrate.Down)
}

type migrateStatusCmd struct{}

func (migrateStatusCmd) Run(ctx context.Context, s *session, all *migrateCmd) error {
	return all.each(ctx, s, migrate.Read)
}

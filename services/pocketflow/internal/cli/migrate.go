package cli

import (
	"context"
	"io"
	"net/url"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/suite"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
	"github.com/pocketflowgo/pocketflow/shared/storage/migratecmd"
)

type migrateCmd struct {
	databases
	Up     migrateUpCmd     `cmd:"" help:"Apply every migration that a database has not seen."`
	Down   migrateDownCmd   `cmd:"" help:"Take the last migration back, and the data in what it made with it."`
	Status migrateStatusCmd `cmd:"" help:"Tell where the databases stand."`
}

// databases name the databases as serve does. SQLite files are not migrated
// while a server has them; their status is told all the same.
type databases struct {
	Service     string `help:"Only this service: registry, catalog, scheduler or queue." enum:",registry,catalog,scheduler,queue" default:"" placeholder:"NAME"`
	Data        string `help:"Directory of the SQLite databases." default:"./data" env:"POCKETFLOW_DATA"`
	RegistryDB  string `name:"registry-db" help:"Database of the registry." env:"REGISTRY_DB" placeholder:"URL"`
	CatalogDB   string `name:"catalog-db" help:"Database of the flow catalog." env:"CATALOG_DB" placeholder:"URL"`
	SchedulerDB string `name:"scheduler-db" help:"Database of the scheduler." env:"SCHEDULER_DB" placeholder:"URL"`
	QueueDB     string `name:"queue-db" help:"Database of the queue-gateway." env:"QUEUE_DB" placeholder:"URL"`
}

type migration func(context.Context, migrate.Target) (migrate.Status, error)

// given are the databases that have a setting of their own, by service.
func (d databases) given() map[string]string {
	return map[string]string{
		migrations.Registry: d.RegistryDB, migrations.Catalog: d.CatalogDB,
		migrations.Scheduler: d.SchedulerDB, migrations.Queue: d.QueueDB,
	}
}

// each migrates the chosen databases in turn, stops at the first that fails,
// and prints how far it came.
func (d databases) each(ctx context.Context, s *session, step migration) error {
	given := d.given()
	all := []migratecmd.Schema{}
	var failed error
	for _, service := range migrations.Services {
		if d.Service != "" && d.Service != service {
			continue
		}
		target := migrate.Target{Service: service, DSN: given[service]}
		if target.DSN == "" {
			target.DSN = suite.InDirectory(d.Data, service)
		}
		var status migrate.Status
		if status, failed = step(ctx, target); failed != nil {
			break
		}
		schema := migratecmd.NewSchema(target, status)
		schema.Database = withoutPassword(target.DSN)
		all = append(all, schema)
	}
	if len(all) > 0 {
		err := s.print(all, func(w io.Writer) error { return writeSchemas(w, all) })
		if err != nil {
			return err
		}
	}
	return failed
}

func writeSchemas(w io.Writer, all []migratecmd.Schema) error {
	table := term.NewRows("SERVICE", "VERSION", "EXPECTED", "STATE", "PENDING", "DATABASE")
	for _, one := range all {
		table.Add(one.Service, one.Version, one.Expected, one.State, one.PendingText(), one.Database)
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
	if err := all.makeWritable(); err != nil {
		return err
	}
	return all.each(ctx, s, migrate.Up)
}

// makeWritable makes the data directory when there is a database to lie in it.
func (d databases) makeWritable() error {
	for service, given := range d.given() {
		if given == "" && (d.Service == "" || d.Service == service) {
			return suite.MakeWritable(d.Data)
		}
	}
	return nil
}

type migrateDownCmd struct{}

func (migrateDownCmd) Run(ctx context.Context, s *session, all *migrateCmd) error {
	return all.each(ctx, s, migrate.Down)
}

type migrateStatusCmd struct{}

func (migrateStatusCmd) Run(ctx context.Context, s *session, all *migrateCmd) error {
	return all.each(ctx, s, migrate.Read)
}

// Package migratecmd is the migrate command of a service's binary, and the form
// in which every binary tells where a schema stands. How migrations run is in
// package migrate.
package migratecmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

// Config is the settings of a service that has a database: a struct with kong
// tags.
type Config interface {
	// Database names the service, as in package migrations, and the data source
	// that its settings give.
	Database() migrate.Target
}

// grammar is `migrate up|down|status`. It takes every setting of
// serve, so that both mean the same database under the same environment.
type grammar struct {
	Config Config `embed:""`
	Output Format `short:"o" help:"Form of the result: table or json." default:"table" enum:"table,json"`

	Up     upCmd     `cmd:"" help:"Apply every migration that the database has not seen."`
	Down   downCmd   `cmd:"" help:"Take the last migration back, and the data in what it made with it."`
	Status statusCmd `cmd:"" help:"Tell which schema version the database has, which one this binary knows, and what is between them. Changes nothing; works beside a running server."`

	out io.Writer
}

// Format is the form of a result.
type Format string

// The forms.
const (
	Table Format = "table"
	JSON  Format = "json"
)

// New makes the command for a service's settings.
func New(cfg Config) app.Command {
	return app.Command{
		Name: "migrate", Help: "Bring the database's schema forward or back, or tell where it stands.",
		Grammar: newGrammar(cfg, os.Stdout),
	}
}

func newGrammar(cfg Config, out io.Writer) *grammar {
	g := &grammar{Config: cfg, out: out}
	g.Up.all, g.Down.all, g.Status.all = g, g, g
	return g
}

type (
	upCmd     struct{ all *grammar }
	downCmd   struct{ all *grammar }
	statusCmd struct{ all *grammar }
)

// Run applies what is missing.
func (c *upCmd) Run(ctx context.Context) error { return c.all.run(ctx, migrate.Up) }

// Run takes the last migration back.
func (c *downCmd) Run(ctx context.Context) error { return c.all.run(ctx, migrate.Down) }

// Run tells where the database stands.
func (c *statusCmd) Run(ctx context.Context) error { return c.all.run(ctx, migrate.Read) }

func (c *grammar) run(ctx context.Context, step func(context.Context, migrate.Target) (migrate.Status, error)) error {
	target := c.Config.Database()
	status, err := step(ctx, target)
	if err != nil {
		return err
	}
	schemas := []Schema{NewSchema(target, status)}
	if c.Output == JSON {
		encoder := json.NewEncoder(c.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(schemas)
	}
	return writeTable(c.out, schemas)
}

// Schema is where one database stands, as it is printed.
type Schema struct {
	Service  string        `json:"service"`
	Database string        `json:"database"` // without its password
	Version  int64         `json:"version"`
	Expected int64         `json:"expected"` // by this binary
	State    migrate.State `json:"state"`
	Pending  []Pending     `json:"pending"`
}

// Pending is a migration that the database has not seen.
type Pending struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	// Contract is the least version that every running binary must know before
	// this migration; left out when the version before serves on.
	Contract int64 `json:"contract,omitempty"`
}

// NewSchema makes the printed form of a status.
func NewSchema(target migrate.Target, status migrate.Status) Schema {
	name, err := dsn.Parse(target.DSN)
	shown := name.String()
	if err != nil { // it may hold a password anywhere
		shown = "?"
	}
	schema := Schema{
		Service: target.Service, Database: shown,
		Version: status.Database, Expected: status.Binary, State: status.State(), Pending: []Pending{},
	}
	for _, file := range status.Pending {
		schema.Pending = append(schema.Pending, pending(file))
	}
	return schema
}

func pending(file migrations.Migration) Pending {
	return Pending{Version: file.Version, Name: file.Name, Contract: file.Contract}
}

// PendingText lists what is pending on one line; "-" for nothing.
func (s Schema) PendingText() string {
	if len(s.Pending) == 0 {
		return "-"
	}
	var names []string
	for _, p := range s.Pending {
		name := fmt.Sprintf("%d %s", p.Version, p.Name)
		if p.Contract > 0 {
			name += fmt.Sprintf(" (contract: needs %d)", p.Contract)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func writeTable(out io.Writer, schemas []Schema) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tVERSION\tEXPECTED\tSTATE\tPENDING\tDATABASE")
	for _, s := range schemas {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%s\n", s.Service, s.Version, s.Expected, s.State, s.PendingText(), s.Database)
	}
	return table.Flush()
}

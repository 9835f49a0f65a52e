package catalog

import (
	"errors"
	"fmt"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

// Config are the catalog's settings.
type Config struct {
	Addr        string `help:"Address to listen at." default:"127.0.0.1:8072" env:"CATALOG_ADDR"`
	DB          string `help:"Database: sqlite://path, postgres://… or the path of a SQLite file (name.db)." default:"sqlite://./data/catalog.db" env:"CATALOG_DB"`
	AutoMigrate bool   `help:"Bring the database's schema up to date at start." default:"true" negatable:"" env:"AUTO_MIGRATE"`

	MaxDefinitionBytes int `help:"Most bytes of a definition." default:"1048576" env:"CATALOG_MAX_DEFINITION_BYTES"`
	MaxNodes           int `help:"Most nodes of a definition, those of embedded subflows included." default:"2000" env:"CATALOG_MAX_NODES"`
	MaxNesting         int `help:"Most subflows inside each other." default:"16" env:"CATALOG_MAX_NESTING"`
}

// ListenAddr is the address to serve at.
func (c *Config) ListenAddr() string { return c.Addr }

// Database implements migratecmd.Config.
func (c *Config) Database() migrate.Target {
	return migrate.Target{Service: migrations.Catalog, DSN: c.DB}
}

// Validate names every fault of the settings.
func (c *Config) Validate() error {
	var faults []error
	if c.DB == "" {
		faults = append(faults, errors.New("database: is required"))
	}
	if c.MaxDefinitionBytes < 1 || c.MaxDefinitionBytes > httpx.MaxBody {
		faults = append(faults, fmt.Errorf("most definition bytes: %d is not from 1 to the %d of a request body", c.MaxDefinitionBytes, httpx.MaxBody))
	}
	if c.MaxNodes < 1 {
		faults = append(faults, fmt.Errorf("most nodes: %d is not positive", c.MaxNodes))
	}
	if c.MaxNesting < 0 {
		faults = append(faults, fmt.Errorf("most nesting: %d is negative", c.MaxNesting))
	}
	return errors.Join(faults...)
}

func (c *Config) limits() flow.Limits {
	return flow.Limits{MaxBytes: c.MaxDefinitionBytes, MaxNodes: c.MaxNodes, MaxNesting: c.MaxNesting}
}

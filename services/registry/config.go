package registry

import (
	"errors"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/netguard"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

// Config are the registry's settings.
type Config struct {
	Addr        string `help:"Address to listen at." default:"127.0.0.1:8071" env:"REGISTRY_ADDR"`
	DB          string `help:"Database: sqlite://path, postgres://… or the path of a SQLite file (name.db)." default:"sqlite://./data/registry.db" env:"REGISTRY_DB"`
	AutoMigrate bool   `help:"Bring the database's schema up to date at start." default:"true" negatable:"" env:"AUTO_MIGRATE"`

	TTL  time.Duration `help:"A worker is online while its last heartbeat is younger than this. Replicas that share a database see each other's heartbeats up to two seconds late: keep it well above." default:"15s" env:"REGISTRY_TTL"`
	Keep time.Duration `help:"An offline worker is forgotten when it was not heard of for this long." default:"24h" env:"REGISTRY_KEEP"`

	AllowWorkers []string `help:"Where workers may listen: host names, *.suffixes, IP addresses and CIDR networks. Anywhere by default. Link-local and metadata addresses are always refused." env:"REGISTRY_ALLOW_WORKERS" placeholder:"HOST"`
}

// ListenAddr is the address to serve at.
func (c *Config) ListenAddr() string { return c.Addr }

// Database implements migratecmd.Config.
func (c *Config) Database() migrate.Target {
	return migrate.Target{Service: migrations.Registry, DSN: c.DB}
}

// Validate names every fault of the settings.
func (c *Config) Validate() error {
	var faults []error
	if c.DB == "" {
		faults = append(faults, errors.New("database: is required"))
	}
	if c.TTL <= 0 {
		faults = append(faults, fmt.Errorf("ttl: %v is not a positive duration", c.TTL))
	}
	if c.Keep < c.TTL {
		faults = append(faults, fmt.Errorf("keep: %v is shorter than the ttl of %v", c.Keep, c.TTL))
	}
	if _, err := netguard.ParsePolicy(c.AllowWorkers); err != nil {
		faults = append(faults, fmt.Errorf("allowed workers: %w", err))
	}
	return errors.Join(faults...)
}

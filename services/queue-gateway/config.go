package queuegateway

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/services/queue-gateway/internal/queue"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

// Config are the queue-gateway's settings.
type Config struct {
	Addr        string `help:"Address to listen at." default:"127.0.0.1:8074" env:"QUEUE_ADDR"`
	DB          string `help:"Database: sqlite://path, postgres://… or the path of a SQLite file." default:"sqlite://./data/queue.db" env:"QUEUE_DB"`
	AutoMigrate bool   `help:"Bring the database's schema up to date at start." default:"true" negatable:"" env:"AUTO_MIGRATE"`

	SchedulerURL  string        `help:"Base URL of the scheduler, which gets the results." default:"http://127.0.0.1:8073" env:"SCHEDULER_URL"`
	MaxDeliveries int           `help:"A job that was delivered this often without an answer is dead and fails its run." default:"5" env:"QUEUE_MAX_DELIVERIES"`
	Visibility    time.Duration `help:"How long a claim lasts when the worker does not say." default:"60s" env:"QUEUE_VISIBILITY"`
}

// ListenAddr is the address to serve at.
func (c *Config) ListenAddr() string { return c.Addr }

// Database implements migratecmd.Config.
func (c *Config) Database() migrate.Target {
	return migrate.Target{Service: migrations.Queue, DSN: c.DB}
}

// Validate names every fault of the settings.
func (c *Config) Validate() error {
	var faults []error
	if c.DB == "" {
		faults = append(faults, errors.New("database: is required"))
	}
	if u, err := url.Parse(c.SchedulerURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		faults = append(faults, fmt.Errorf("scheduler url: %q is not http://host:port", c.SchedulerURL))
	}
	if c.MaxDeliveries < 1 {
		faults = append(faults, fmt.Errorf("max deliveries: %d is not at least 1", c.MaxDeliveries))
	}
	if c.Visibility < queue.MinVisibility || c.Visibility > queue.MaxVisibility {
		faults = append(faults, fmt.Errorf("visibility: %v is not from %v to %v", c.Visibility, queue.MinVisibility, queue.MaxVisibility))
	}
	return errors.Join(faults...)
}

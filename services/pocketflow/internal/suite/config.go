package suite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/pocketflowgo/pocketflow/migrations"
	catalog "github.com/pocketflowgo/pocketflow/services/flow-catalog"
	"github.com/pocketflowgo/pocketflow/services/gateway"
	queuegateway "github.com/pocketflowgo/pocketflow/services/queue-gateway"
	"github.com/pocketflowgo/pocketflow/services/registry"
	"github.com/pocketflowgo/pocketflow/services/scheduler"
)

// Config are the settings of the suite: its own, and every service's under a
// prefix. The services' environment names are the ones they have when they run
// alone.
type Config struct {
	Addr string `help:"Address to listen at." default:"127.0.0.1:8070" env:"POCKETFLOW_ADDR,GATEWAY_ADDR"`
	Data string `help:"Directory of the SQLite databases; those given as a URL lie elsewhere." default:"./data" env:"POCKETFLOW_DATA"`

	Registry  registry.Config     `embed:"" prefix:"registry-" group:"registry"`
	Catalog   catalog.Config      `embed:"" prefix:"catalog-" group:"catalog"`
	Scheduler scheduler.Config    `embed:"" prefix:"scheduler-" group:"scheduler"`
	Queue     queuegateway.Config `embed:"" prefix:"queue-" group:"queue"`
	Gateway   gateway.Config      `embed:"" prefix:"gateway-" group:"gateway"`
}

// AdjustFlags fits the services' flags to one process. What the suite sets
// itself, where the services listen and how they reach each other, is hidden
// and has no say; a database without a setting lies in the data directory. It
// is an option for kong.PostBuild.
func AdjustFlags(k *kong.Kong) error {
	return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
		if n, ok := node.(*kong.Node); ok {
			for _, flag := range n.Flags {
				adjust(flag)
			}
		}
		return next(nil)
	})
}

func adjust(flag *kong.Flag) {
	service, setting, ok := strings.Cut(flag.Name, "-")
	if !ok || flag.Group == nil || flag.Group.Key != service {
		return
	}
	switch {
	case setting == "addr" || strings.HasSuffix(setting, "-url"):
		flag.Hidden = true
	case setting == "db":
		flag.Default = inData(service)
	}
}

// Locate puts every database that has no setting of its own into the data
// directory. It reports which are there.
func (c *Config) Locate() []string {
	var local []string
	for _, db := range c.databases() {
		if *db.dsn == inData(db.service) {
			*db.dsn = InDirectory(c.Data, db.service)
			local = append(local, db.service)
		}
	}
	return local
}

type database struct {
	service string
	dsn     *string
}

func (c *Config) databases() []database {
	return []database{
		{migrations.Registry, &c.Registry.DB},
		{migrations.Catalog, &c.Catalog.DB},
		{migrations.Scheduler, &c.Scheduler.DB},
		{migrations.Queue, &c.Queue.DB},
	}
}

// inData is the value of a database setting that was not set: it reads as what
// it means, and the services' own checks see that there is a setting.
func inData(service string) string { return "<data>/" + service + ".db" }

// InDirectory is the data source name of a service's database in the data
// directory.
func InDirectory(dir, service string) string {
	path := filepath.ToSlash(filepath.Join(dir, service+".db"))
	return "sqlite://" + path
}

// MakeWritable makes the directory and tries it out: found out here it is one
// clear sentence, found out by the database it is an I/O error.
func MakeWritable(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("data directory %s: %w", dir, reason(err))
	}
	probe, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("data directory %s is not writable: %w", dir, reason(err))
	}
	_ = probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return fmt.Errorf("data directory %s: %w", dir, reason(err))
	}
	return nil
}

// reason is the system's word about a file, without the call it comes from.
func reason(err error) error {
	var cause *os.PathError
	if errors.As(err, &cause) {
		return cause.Err
	}
	return err
}

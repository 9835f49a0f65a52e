package suite

import (
	"fmt"

	"github.com/alecthomas/kong"
)

// Throwaway are the settings of a suite of its own in one directory, whatever
// databases the environment names: for the demo and for tests. The address is
// one that is free.
func Throwaway(dir string) (Config, error) {
	var cfg Config
	parser, err := kong.New(&cfg, kong.PostBuild(AdjustFlags))
	if err != nil {
		return Config{}, fmt.Errorf("read the default settings: %w", err)
	}
	if _, err := parser.Parse([]string{"--addr=127.0.0.1:0"}); err != nil {
		return Config{}, fmt.Errorf("read the default settings: %w", err)
	}
	cfg.Data = dir
	for _, db := range cfg.databases() {
		*db.dsn = inData(db.service)
	}
	cfg.Registry.AutoMigrate, cfg.Catalog.AutoMigrate = true, true
	cfg.Scheduler.AutoMigrate, cfg.Queue.AutoMigrate = true, true
	return cfg, nil
}

package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/pocketflowgo/pocketflow/services/gateway/internal/proxy"
)

// Config are the gateway's settings.
type Config struct {
	Addr string `help:"Address to listen at." default:"127.0.0.1:8070" env:"GATEWAY_ADDR"`

	RegistryURL  string `help:"Base URL of the registry." default:"http://127.0.0.1:8071" env:"REGISTRY_URL"`
	CatalogURL   string `help:"Base URL of the flow catalog." default:"http://127.0.0.1:8072" env:"CATALOG_URL"`
	SchedulerURL string `help:"Base URL of the scheduler." default:"http://127.0.0.1:8073" env:"SCHEDULER_URL"`
	QueueURL     string `help:"Base URL of the queue-gateway." default:"http://127.0.0.1:8074" env:"QUEUE_URL"`

	AllowedOrigins []string `help:"Origins whose pages may call the API (https://host[:port]); * allows all. None by default." env:"GATEWAY_ALLOWED_ORIGINS" placeholder:"ORIGIN"`
}

// ListenAddr is the address to serve at.
func (c *Config) ListenAddr() string { return c.Addr }

// Validate names every fault of the settings.
func (c *Config) Validate() error {
	var faults []error
	for _, b := range c.backends() {
		if err := checkBase(b.base); err != nil {
			faults = append(faults, fmt.Errorf("URL of the %s: %w", b.service, err))
		}
	}
	for _, origin := range c.AllowedOrigins {
		if err := checkOrigin(origin); err != nil {
			faults = append(faults, fmt.Errorf("allowed origin: %w", err))
		}
	}
	return errors.Join(faults...)
}

type backend struct {
	service proxy.Service
	base    string
}

func (c *Config) backends() []backend {
	return []backend{
		{proxy.Registry, c.RegistryURL},
		{proxy.Catalog, c.CatalogURL},
		{proxy.Scheduler, c.SchedulerURL},
		{proxy.Queue, c.QueueURL},
	}
}

func checkBase(base string) error {
	u, err := url.Parse(base)
	if err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Host == "" {
		return fmt.Errorf("%q is not of the form http://host:port", base)
	}
	return nil
}

// checkOrigin holds an origin to what browsers send: a path or a closing slash
// in the setting would silently never match.
func checkOrigin(origin string) error {
	if origin == "*" {
		return nil
	}
	if err := checkBase(origin); err != nil {
		return err
	}
	if u, _ := url.Parse(origin); u.Scheme+"://"+u.Host != origin {
		return fmt.Errorf("%q has more than scheme, host and port", origin)
	}
	return nil
}

package scheduler

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

// Config are the scheduler's settings.
type Config struct {
	Addr        string `help:"Address to serve at, host:port." default:"127.0.0.1:8073" env:"SCHEDULER_ADDR"`
	DB          string `help:"Data source name of the tasks database: sqlite://PATH or postgres://…" default:"sqlite://./data/scheduler.db" env:"SCHEDULER_DB"`
	AutoMigrate bool   `help:"Apply missing migrations at start." default:"true" negatable:"" env:"AUTO_MIGRATE"`

	RegistryURL string `name:"registry-url" help:"Base URL of the registry." default:"http://127.0.0.1:8071" env:"REGISTRY_URL"`
	CatalogURL  string `name:"catalog-url" help:"Base URL of the flow catalog." default:"http://127.0.0.1:8072" env:"CATALOG_URL"`
	QueueURL    string `name:"queue-url" help:"Base URL of the queue-gateway." default:"http://127.0.0.1:8074" env:"QUEUE_URL"`

	InstanceID     string        `help:"Name of this replica in leases. Default: a new one at each start, or on SQLite the same at each, since the file has one process." env:"SCHEDULER_INSTANCE_ID"`
	LeaseTTL       time.Duration `name:"lease-ttl" help:"How long a replica that has died keeps its tasks from the others." default:"15s" env:"SCHEDULER_LEASE_TTL"`
	PollInterval   time.Duration `help:"How often to look for due tasks that nobody announced." default:"1s" env:"SCHEDULER_POLL_INTERVAL"`
	MaxInFlight    int           `help:"Tasks executed at once; more wait in the database." default:"2000" env:"SCHEDULER_MAX_IN_FLIGHT"`
	MaxPerWorker   int           `help:"Executions in flight to one worker; more wait their turn." default:"1000" env:"SCHEDULER_MAX_PER_WORKER"`
	NoWorkerWait   time.Duration `help:"How long a service may be without a worker that can be reached before executions for it fail." default:"8s" env:"SCHEDULER_NO_WORKER_WAIT"`
	AttemptTimeout time.Duration `help:"Time-out of an attempt whose node sets none." default:"30s" env:"SCHEDULER_ATTEMPT_TIMEOUT"`
	MaxValue       int           `name:"max-value-bytes" help:"Bytes of an input, and of a task's shared state." default:"16777216" env:"SCHEDULER_MAX_VALUE_BYTES"`
	MaxParallel    int           `help:"Branches of one parallel or foreach node that are executed at once; a flow's max_parallel cannot exceed it." default:"100" env:"SCHEDULER_MAX_PARALLEL"`
	MaxNesting     int           `help:"Subflows inside subflows, those by reference included." default:"16" env:"SCHEDULER_MAX_NESTING"`
	MaxSteps       int           `help:"Node visits of a task whose definition sets no bound." default:"10000" env:"SCHEDULER_MAX_STEPS"`
	PlanCache      int           `help:"Compiled flow versions kept in memory." default:"1000" env:"SCHEDULER_PLAN_CACHE"`
	ExecutionDrain time.Duration `help:"How long a stop waits for executions under way; after it they are cut off and repeated elsewhere." default:"10s" env:"SCHEDULER_EXECUTION_DRAIN"`

	RunLogBytes int `name:"run-log-bytes" help:"Bytes of one run's log; what comes after is left out." default:"1048576" env:"SCHEDULER_RUN_LOG_BYTES"`

	ScriptAllow       []string `help:"Commands that flows may run on this machine (exec_type local_script): absolute paths, or names found in /usr/local/bin, /usr/bin and /bin. None by default. Whoever may publish flows can do with them all that they can be made to do; an interpreter can be made to do anything." env:"SCHEDULER_SCRIPT_ALLOW" placeholder:"COMMAND"`
	ScriptOutputBytes int      `help:"Bytes of a script's output." default:"1048576" env:"SCHEDULER_SCRIPT_OUTPUT_BYTES"`
	ScriptMaxRunning  int      `help:"Scripts run at once; more wait their turn." default:"16" env:"SCHEDULER_SCRIPT_MAX_RUNNING"`
}

// ListenAddr implements app.Config.
func (c *Config) ListenAddr() string { return c.Addr }

// Database implements migratecmd.Config.
func (c *Config) Database() migrate.Target {
	return migrate.Target{Service: migrations.Scheduler, DSN: c.DB}
}

// minLeaseTTL leaves room for three extensions and a slow disk.
const minLeaseTTL = time.Second

// maxRunLog lets a log be read in one answer, every character of it escaped.
const maxRunLog = 8 << 20

// Validate names every setting that is out of range.
func (c *Config) Validate() error {
	var faults errs.Faults
	check := func(ok bool, setting, message string) {
		if !ok {
			faults.Add(setting, "%s", message)
		}
	}
	check(c.DB != "", "db", "is required")
	check(c.LeaseTTL >= minLeaseTTL, "lease-ttl", fmt.Sprintf("must be at least %s", minLeaseTTL))
	check(c.PollInterval > 0, "poll-interval", "must be positive")
	check(c.MaxInFlight > 0, "max-in-flight", "must be positive")
	check(c.MaxPerWorker > 0, "max-per-worker", "must be positive")
	check(c.NoWorkerWait >= 0, "no-worker-wait", "must not be negative")
	check(c.AttemptTimeout > 0, "attempt-timeout", "must be positive")
	check(c.MaxValue > 0, "max-value-bytes", "must be positive")
	check(c.MaxParallel > 0, "max-parallel", "must be positive")
	check(c.MaxNesting > 0, "max-nesting", "must be positive")
	check(c.MaxSteps > 0, "max-steps", "must be positive")
	check(c.PlanCache > 0, "plan-cache", "must be positive")
	check(c.ExecutionDrain >= 0, "execution-drain", "must not be negative")
	check(c.RunLogBytes > 0 && c.RunLogBytes <= maxRunLog, "run-log-bytes", fmt.Sprintf("must be 1 to %d", maxRunLog))
	for _, command := range c.ScriptAllow {
		bare := command != "" && !strings.ContainsRune(command, filepath.Separator)
		check(bare || filepath.IsAbs(command), "script-allow", fmt.Sprintf("%q is neither an absolute path nor a bare name", command))
	}
	check(c.ScriptOutputBytes > 0, "script-output-bytes", "must be positive")
	check(c.ScriptMaxRunning > 0, "script-max-running", "must be positive")
	return faults.Err()
}

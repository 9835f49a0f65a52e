package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	demoworker "github.com/pocketflowgo/pocketflow/services/demo-worker"
	catalog "github.com/pocketflowgo/pocketflow/services/flow-catalog"
	"github.com/pocketflowgo/pocketflow/services/gateway"
	queuegateway "github.com/pocketflowgo/pocketflow/services/queue-gateway"
	"github.com/pocketflowgo/pocketflow/services/registry"
	"github.com/pocketflowgo/pocketflow/services/scheduler"
	"github.com/pocketflowgo/pocketflow/shared/app"
)

// settingsPage is the page that is made of the config structs.
const settingsPage = "../../../../docs/settings.md"

const settingsHead = `# Settings

Every setting of every binary: the flag, the environment variable that stands for it, its default and what it means. A flag wins over
the environment, the environment over the default. What does not parse or is out of range is refused at the start, with every fault named.

` + "`pocketflow config`" + ` takes the flags of ` + "`pocketflow serve`" + ` and prints what each setting would be and where that comes from, with passwords hidden.
` + "`<binary> serve --help`" + ` lists the settings of one binary. How to choose the values is in [operations.md](operations.md).

Durations are written ` + "`1.5s`, `2m`, `24h`" + `; lists with commas; a switch that is on by default is turned off by ` + "`--no-…`" + ` or by ` + "`false`" + ` in its variable.

This page is generated from the config structs. After a change of one:
` + "`go test ./services/pocketflow/internal/cli -run Settings -update`" + `.
`

const settingsTail = `
## Variables that libraries read

| variable | meaning |
| --- | --- |
| ` + "`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_CERTIFICATE`, `OTEL_BSP_*`" + ` | of OpenTelemetry's exporter, when ` + "`--trace-endpoint`" + ` is set: [traces.md](traces.md) |
| ` + "`PGPASSWORD`, `PGPASSFILE`, `PGSSLMODE`, `PGSSLROOTCERT`" + ` and their like | what a Postgres URL leaves open, as libpq defines them |
| ` + "`GOMEMLIMIT`, `GOMAXPROCS`" + ` | of the Go runtime: memory that it collects harder to stay within, and processors that it uses; the latter follows a container's CPU limit by itself |
`

// settings are those of one heading.
type settings struct {
	title, text string
	flags       []*kong.Flag
}

func allSettings(t *testing.T) []settings {
	t.Helper()
	parser, err := newParser(&grammar{}, Streams{Out: io.Discard, Err: io.Discard}, func(int) {})
	require.NoError(t, err)
	root := parser.Model.Flags
	var ofServe []*kong.Flag
	for _, command := range parser.Model.Children {
		if command.Name == "serve" {
			ofServe = command.Flags
		}
	}
	process := flagsOf(t, &app.Process{})
	all := []settings{{"Every service, and pocketflow serve", "", process}}
	shared := slices.Clone(process)
	for _, one := range []struct {
		binary, prefix string
		config         any
	}{
		{"registry", "registry", &registry.Config{}},
		{"flow-catalog", "catalog", &catalog.Config{}},
		{"scheduler", "scheduler", &scheduler.Config{}},
		{"queue-gateway", "queue", &queuegateway.Config{}},
		{"gateway", "gateway", &gateway.Config{}},
	} {
		flags := flagsOf(t, one.config)
		for _, flag := range flags {
			i := slices.IndexFunc(ofServe, named(one.prefix+"-"+flag.Name))
			require.GreaterOrEqual(t, i, 0, "pocketflow serve has no --%s-%s", one.prefix, flag.Name)
			shared = append(shared, ofServe[i])
		}
		text := fmt.Sprintf("In `pocketflow serve` the flags begin with `--%s-`; the variables are the same.", one.prefix)
		all = append(all, settings{one.binary, text, flags})
	}
	own := slices.DeleteFunc(slices.Clone(ofServe), func(flag *kong.Flag) bool {
		return slices.ContainsFunc(shared, named(flag.Name))
	})
	return append(all,
		settings{"pocketflow serve", "All settings above, but the services' own addresses and the URLs by which they reach each other. A database " +
			"without a setting is `<data>/<service>.db`. And:", own},
		settings{"pocketflow, the command line", "For every command that talks to a server.", root},
		settings{"demo-worker", "", flagsOf(t, &struct {
			demoworker.Config `embed:""`
			app.Telemetry     `embed:""`
		}{})},
	)
}

func named(name string) func(*kong.Flag) bool {
	return func(flag *kong.Flag) bool { return flag.Name == name }
}

func flagsOf(t *testing.T, config any) []*kong.Flag {
	t.Helper()
	parser, err := kong.New(config, kong.NoDefaultHelp())
	require.NoError(t, err)
	return parser.Model.Flags
}

func (s settings) write(page *strings.Builder) {
	fmt.Fprintf(page, "\n## %s\n\n", s.title)
	if s.text != "" {
		fmt.Fprintf(page, "%s\n\n", s.text)
	}
	page.WriteString("| flag | variable | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, flag := range s.flags {
		if flag.Name == "help" {
			continue
		}
		name := "--" + flag.Name
		if flag.Short != 0 {
			name = fmt.Sprintf("-%c, %s", flag.Short, name)
		}
		if flag.Tag.Negatable != "" {
			name = "--[no-]" + flag.Name
		}
		fmt.Fprintf(page, "| %s | %s | %s | %s |\n", code(name), code(flag.Envs...), code(defaultOf(flag)), cell(flag))
	}
}

// code is texts as a cell shows them; nothing for "".
func code(texts ...string) string {
	var shown []string
	for _, text := range texts {
		if text != "" {
			shown = append(shown, "`"+text+"`")
		}
	}
	return strings.Join(shown, ", ")
}

// defaultOf is what a setting is when nobody sets it; "" where its meaning says.
func defaultOf(flag *kong.Flag) string {
	if flag.IsBool() && flag.Default == "" {
		return "false"
	}
	return flag.Default
}

// cell is what a setting means, with the values that it takes.
func cell(flag *kong.Flag) string {
	help := strings.NewReplacer("|", "\\|", "<", "&lt;", "*", "\\*").Replace(flag.Help)
	if flag.Enum == "" {
		return help
	}
	return help + " One of " + code(strings.Split(flag.Enum, ",")...) + "."
}

func TestSettings_PageIsOfTheConfigStructs(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	page.WriteString(settingsHead)
	for _, one := range allSettings(t) {
		one.write(&page)
	}
	page.WriteString(settingsTail)
	if *update {
		require.NoError(t, os.WriteFile(settingsPage, []byte(page.String()), 0o600))
	}
	want, err := os.ReadFile(settingsPage)
	require.NoError(t, err)
	require.Equal(t, string(want), page.String(), "run the test with -update when this is meant")
}

package dsn

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse_TellsTheDriverByTheScheme(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]DSN{
		"sqlite://./data/scheduler.db":            {Dialect: "sqlite", Path: "./data/scheduler.db"},
		"sqlite://data.db":                        {Dialect: "sqlite", Path: "data.db"},
		"sqlite:///var/lib/a b/scheduler.db":      {Dialect: "sqlite", Path: "/var/lib/a b/scheduler.db"},
		"./data/scheduler.db":                     {Dialect: "sqlite", Path: "./data/scheduler.db"},
		"postgres://u:p@db:5432/pf":               {Dialect: "postgres", URL: "postgres://u:p@db:5432/pf"},
		"postgresql://db/pf?sslmode=disable":      {Dialect: "postgres", URL: "postgresql://db/pf?sslmode=disable"},
		"postgres:///pf?host=/run/postgresql":     {Dialect: "postgres", URL: "postgres:///pf?host=/run/postgresql"},
		"postgres://u:p@h1,h2/pf?target=anything": {Dialect: "postgres", URL: "postgres://u:p@h1,h2/pf?target=anything"},
	} {
		got, err := Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
}

func TestParse_RefusesInOneLineWithoutThePassword(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "scheduler", "mysql://u:secret@db/pf", "sqlite://", "sqlite://data/", "sqlite://:memory:", "sqlite://a.db?mode=secret",
		"postgres://", "postgres:///pf", "postgres://u:secret@db:port/pf", "postgres://u:se%cret@db/pf", "postgres://u:secret@[db/pf",
	} {
		_, err := Parse(text)
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "se%cret")
	}
}

func TestString_HidesThePassword(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sqlite://./a.db":                  "sqlite://./a.db",
		"postgres://u:secret@db/pf":        "postgres://u:xxxxx@db/pf",
		"postgres://u@db/pf?password=secr": "postgres://u@db/pf?password=xxxxx",
	} {
		parsed, err := Parse(text)
		require.NoError(t, err)
		require.Equal(t, want, parsed.String())
	}
}

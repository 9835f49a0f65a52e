package migratecmd

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

type settings struct{ DB string }

func (s *settings) Database() migrate.Target {
	return migrate.Target{Service: migrations.Queue, DSN: s.DB}
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	var cli struct{}
	parser, err := kong.New(&cli, kong.Name("x"), kong.DynamicCommand("migrate", "", "", newGrammar(&settings{}, &out)))
	require.NoError(t, err)
	parsed, err := parser.Parse(append([]string{"migrate"}, args...))
	require.NoError(t, err)
	parsed.BindTo(t.Context(), (*context.Context)(nil))
	require.NoError(t, parsed.Run())
	return out.String()
}

func TestMigrate_GoesUpAndDownAndTellsBothVersions(t *testing.T) {
	t.Parallel()
	db := "--db=" + filepath.Join(t.TempDir(), "queue.db")
	const pending = `(?m)^queue +0 +3 +older +1 init, 2 limits, 3 traces +sqlite://`
	require.Regexp(t, pending, run(t, "status", db))
	require.Regexp(t, `(?m)^queue +3 +3 +current +- +sqlite://`, run(t, "up", db))
	require.Regexp(t, `(?m)^queue +2 +3 +older +3 traces +sqlite://`, run(t, "down", db))

	var schemas []Schema
	require.NoError(t, json.Unmarshal([]byte(run(t, "status", db, "-o", "json")), &schemas))
	require.Len(t, schemas, 1)
	schemas[0].Database = ""
	require.Equal(t, Schema{
		Service: "queue", Version: 2, Expected: 3, State: migrate.StateOlder,
		Pending: []Pending{{Version: 3, Name: "traces"}},
	}, schemas[0])
}

func TestSchema_NamesWhatAContractNeedsAndHidesPasswords(t *testing.T) {
	t.Parallel()
	target := migrate.Target{Service: migrations.Queue, DSN: "postgres://u:hunter2@h/d"}
	schema := NewSchema(target, migrate.Status{
		Database: 3, Binary: 4, Pending: []migrations.Migration{{Version: 4, Name: "drop_old", Contract: 3}},
	})
	require.Equal(t, "4 drop_old (contract: needs 3)", schema.PendingText())
	require.NotContains(t, schema.Database, "hunter2")
	target.DSN = "hunter2"
	require.NotContains(t, NewSchema(target, migrate.Status{}).Database, "hunter2")
}

package cli

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/transfer"
)

func TestStore_FindsTheDatabasesOfBothPlaces(t *testing.T) {
	t.Parallel()
	const url = "postgres://user@host/db?a=b"
	data, err := filepath.Abs("data")
	require.NoError(t, err)
	inData := func(service string) string { return "sqlite://" + filepath.ToSlash(filepath.Join(data, service+".db")) }
	all := func(from, to func(string) string) (pairs []transfer.Pair) {
		for _, service := range migrations.Services {
			pairs = append(pairs, transfer.Pair{Service: service, From: from(service), To: to(service)})
		}
		return pairs
	}
	inURL := func(string) string { return url }
	for name, test := range map[string]struct {
		given places
		want  []transfer.Pair
	}{
		"a directory and a URL": {places{From: []string{"./data"}, To: []string{url}}, all(inData, inURL)},
		"a URL and a directory": {places{From: []string{url}, To: []string{"sqlite://data/"}}, all(inURL, inData)},
		"one elsewhere": {places{From: []string{"data", "queue=/other/q.db"}, To: []string{url}}, all(func(service string) string {
			if service == "queue" {
				return "/other/q.db"
			}
			return inData(service)
		}, inURL)},
		"one alone": {
			places{From: []string{"scheduler=./s.db"}, To: []string{"scheduler=" + url}},
			[]transfer.Pair{{Service: "scheduler", From: "./s.db", To: url}},
		},
	} {
		got, err := test.given.pairs()
		require.NoError(t, err, name)
		require.Equal(t, test.want, got, name)
	}
}

func TestStore_RefusesPlacesThatAreNone(t *testing.T) {
	t.Parallel()
	for wrong, args := range map[string][]string{
		"missing flags":                 {"--from=data"},
		"name the same database":        {"--from=data", "--to=./data"},
		"two places for all services":   {"--from=a", "--from=b", "--to=c"},
		"names two databases for queue": {"--from=a", "--to=queue=x.db", "--to=queue=y.db"},
		"--from does not":               {"--from=queue=a.db", "--to=c"},
		"--to does not":                 {"--from=a", "--to=queue=b.db"},
		"a single file":                 {"--from=a/registry.db", "--to=c"},
		"it is empty":                   {"--from=", "--to=c"},
	} {
		got := run(t, append([]string{"store", "copy"}, args...)...)
		require.Equal(t, ExitUsage, got.exit, wrong)
		require.Contains(t, got.err, wrong)
	}
}

func TestStore_CopiesAndVerifies(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	require.Equal(t, ExitOK, run(t, "migrate", "up", "--data="+from).exit)
	got := run(t, "store", "copy", "--from="+from, "--to="+to)
	require.Equal(t, ExitOK, got.exit, got.err)
	require.Contains(t, got.out, "flow_versions")
	require.Contains(t, got.err, "copying catalog.flow_versions: 0 rows")
	got = run(t, "store", "verify", "--from="+from, "--to="+to, "--output=json")
	require.Equal(t, ExitOK, got.exit, got.err)
	var report transfer.Report
	require.NoError(t, json.Unmarshal([]byte(got.out), &report))
	require.NotEmpty(t, report.Tables)
	got = run(t, "store", "copy", "--from="+t.TempDir(), "--to="+to)
	require.Equal(t, ExitFailed, got.exit)
	require.Contains(t, got.err, "there is no database")
}

func TestBar_FillsAsTheTableDoes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rows, total int64
		want        string
	}{
		{0, 0, "copying   ████████████████████ 0/0 queue.jobs"},
		{0, 10, "copying   ░░░░░░░░░░░░░░░░░░░░ 0/10 queue.jobs"},
		{5, 10, "copying   ██████████░░░░░░░░░░ 5/10 queue.jobs"},
		{12, 10, "copying   ████████████████████ 12/10 queue.jobs"},
	} {
		require.Equal(t, test.want, bar(transfer.Progress{
			Phase: transfer.Copying, Service: "queue", Table: "jobs", Rows: test.rows, Total: test.total,
		}))
	}
}

package pgtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLeftBehind_TellsByTheNameAlone(t *testing.T) {
	t.Parallel()
	now := time.Now()
	name := databaseName("test")
	require.False(t, leftBehind(name, now))
	require.True(t, leftBehind(name, now.Add(sweepAge+time.Minute)))
	for _, foreign := range []string{"postgres", "pocketflow", "pocketflow_test", "pocketflow_test_", "pocketflow_test_mine_1"} {
		require.False(t, leftBehind(foreign, now.Add(1e6*time.Hour)), foreign)
	}
}

func TestDatabaseURL_KeepsTheServersSettings(t *testing.T) {
	t.Parallel()
	s := &Server{URL: "postgres://me:p%40ss@db.example:5433/postgres?sslmode=disable&connect_timeout=3"}
	got, err := s.databaseURL("other")
	require.NoError(t, err)
	require.Equal(t, "postgres://me:p%40ss@db.example:5433/other?sslmode=disable&connect_timeout=3", got)

	s.URL = "postgres://me:secret@[db/postgres"
	_, err = s.databaseURL("other")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

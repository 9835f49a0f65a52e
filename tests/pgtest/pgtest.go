// Package pgtest gives tests fresh databases on a real PostgreSQL server.
//
// The server is found once per test process, in this order:
//
//  1. POCKETFLOW_TEST_POSTGRES_URL: a server that is there already, reached by
//     a user who may create databases;
//  2. a container, when a Docker engine answers;
//  3. a throwaway cluster made with the local initdb and postgres programs;
//  4. none: the test is skipped with a message that says what to do, or fails
//     when POCKETFLOW_REQUIRE_POSTGRES=1.
//
// A server that this package starts ends with the process, however the process
// ends. Packages that go test runs side by side have a server each, or share
// the one of a URL: every database has a name of its own. Package pgtest holds
// no SQL of PocketFlow and starts none of its services.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

const (
	// URLVariable names a server to use instead of starting one.
	URLVariable = "POCKETFLOW_TEST_POSTGRES_URL"
	// RequireVariable set to 1 makes the lack of a server a failure.
	RequireVariable = "POCKETFLOW_REQUIRE_POSTGRES"
	// DurableVariable set to 1 has a server that is started keep what it has
	// committed through a loss of power, for benchmarks: tests need it not.
	DurableVariable = "POCKETFLOW_TEST_POSTGRES_DURABLE"
)

// databaseTimeout bounds one CREATE or DROP DATABASE. Both take some tens of
// milliseconds; a machine busy with other tests needs the rest.
const databaseTimeout = time.Minute

// HowToGetOne says what to do where there is no server.
const HowToGetOne = "no PostgreSQL for these tests: set " + URLVariable + " to the URL of a server, or start a Docker engine, " +
	"or install PostgreSQL's server programs (Debian: apt-get install postgresql); " + RequireVariable + "=1 makes this a failure"

// theServer is the one server of this process. It is package state because go
// test gives the tests of one process nothing else to share.
var theServer = sync.OnceValues(func() (*Server, error) { return Start(context.Background()) })

// DSN returns the URL of a fresh, empty database, which is dropped when the
// test ends.
func DSN(t testing.TB) string {
	t.Helper()
	return fresh(t, server(t), "template0")
}

// Migrated returns the URL of a fresh database with the schema of one service
// (registry, catalog, scheduler or queue), which is dropped when the test
// ends. The schema is migrated once per process; a database is then a copy.
func Migrated(t testing.TB, service string) string {
	t.Helper()
	s := server(t)
	template, err := s.template(service)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return fresh(t, s, template)
}

func server(t testing.TB) *Server {
	t.Helper()
	s, err := theServer()
	switch {
	case err == nil:
		return s
	case !errors.Is(err, ErrNoServer):
		t.Fatalf("pgtest: %v", err)
	case os.Getenv(RequireVariable) == "1":
		t.Fatalf("pgtest: %s (%v)", HowToGetOne, err)
	default:
		t.Skipf("pgtest: SKIPPED: %s (%v)", HowToGetOne, err)
	}
	return nil
}

func fresh(t testing.TB, s *Server, template string) string {
	t.Helper()
	name := databaseName("test")
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	if err := s.create(ctx, name, template); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
		defer cancel()
		if err := s.drop(ctx, name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	dsn, err := s.databaseURL(name)
	if err != nil {
		t.Fatalf("pgtest: %v", fmt.Errorf("url of %s: %w", name, err))
	}
	return dsn
}

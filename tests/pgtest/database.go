package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

// namePrefix begins the name of every database that this package makes:
// prefix, unix time, random text, purpose.
const namePrefix = "pocketflow_test_"

// sweepAge is how old a database must be to count as left behind by a test
// process that was killed. No test runs that long.
const sweepAge = 6 * time.Hour

func databaseName(purpose string) string {
	return fmt.Sprintf("%s%d_%s_%s", namePrefix, time.Now().Unix(), strings.ToLower(rand.Text()[:12]), purpose)
}

// admin runs one statement in the maintenance database. CREATE and DROP
// DATABASE refuse to run in a transaction, hence the simple protocol.
func (s *Server) admin(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol)
	return err
}

func (s *Server) create(ctx context.Context, name, template string) error {
	statement := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize() + " TEMPLATE " + pgx.Identifier{template}.Sanitize()
	if err := s.admin(ctx, statement); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// drop ends the sessions that the test left open, too: a test that kills
// services has no way to close theirs.
func (s *Server) drop(ctx context.Context, name string) error {
	if err := s.admin(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// template returns the database with the service's schema that fresh databases
// are copied from. It lives as long as the server, or until a later run sweeps
// it.
func (s *Server) template(service string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name, ok := s.templates[service]; ok {
		return name, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	name := databaseName("template_" + service)
	if err := s.create(ctx, name, "template0"); err != nil {
		return "", err
	}
	dsn, err := s.databaseURL(name)
	if err != nil {
		return "", err
	}
	if _, err := migrate.Up(ctx, migrate.Target{Service: service, DSN: dsn}); err != nil {
		return "", fmt.Errorf("migrate the template of %s: %w", service, err)
	}
	if s.templates == nil {
		s.templates = make(map[string]string)
	}
	s.templates[service] = name
	return name, nil
}

// sweep drops the databases that killed runs left on a server which outlives
// them, and is the first proof that the server answers.
func (s *Server) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, "SELECT datname FROM pg_database")
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	for _, name := range names {
		if !leftBehind(name, time.Now()) {
			continue
		}
		if err := s.drop(ctx, name); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	return nil
}

// leftBehind tells a database of an earlier run by the time in its name.
func leftBehind(name string, now time.Time) bool {
	rest, ok := strings.CutPrefix(name, namePrefix)
	if !ok {
		return false
	}
	made, _, _ := strings.Cut(rest, "_")
	seconds, err := strconv.ParseInt(made, 10, 64)
	return err == nil && now.Sub(time.Unix(seconds, 0)) > sweepAge
}

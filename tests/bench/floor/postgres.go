package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool" //nolint:depguard // a program that is no part of the suite
)

// postgresWriters commit side by side: one waits for the disk while another
// sends its rows.
const postgresWriters = 4

const upsertAllSQL = `INSERT INTO tasks (id, version, status, shared, record)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[])
ON CONFLICT (id) DO UPDATE SET status = excluded.status, shared = excluded.shared, record = excluded.record`

// postgres is a database whose commits are durable.
type postgres struct{ pool *pgxpool.Pool }

func openPostgres(ctx context.Context, dsn string) (*postgres, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("read the database's URL: %w", err)
	}
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	config.MaxConns = 2 * postgresWriters
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if _, err := pool.Exec(ctx, schema+"BYTEA NOT NULL)"); err != nil {
		return nil, fmt.Errorf("make the table: %w", err)
	}
	return &postgres{pool: pool}, nil
}

// upsert is one statement, which is a transaction by itself. No two writers have
// rows of one id: a task waits for its write before it makes the next.
func (p *postgres) upsert(ctx context.Context, rows []row) error {
	ids, versions, statuses := make([]string, len(rows)), make([]string, len(rows)), make([]string, len(rows))
	shared, records := make([]string, len(rows)), make([][]byte, len(rows))
	for i := range rows {
		r := &rows[i]
		ids[i], versions[i], statuses[i], shared[i], records[i] = r.id, r.version, r.status, r.shared, r.record
	}
	_, err := p.pool.Exec(ctx, upsertAllSQL, ids, versions, statuses, shared, records)
	return err
}

func (p *postgres) get(ctx context.Context, id string) (row, error) {
	r := row{id: id}
	return r, p.pool.QueryRow(ctx, getSQL, id).Scan(&r.version, &r.status, &r.shared)
}

func (p *postgres) close() { p.pool.Close() }

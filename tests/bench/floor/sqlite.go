package main

import (
	"context"
	"database/sql" //nolint:depguard // a program that is no part of the suite
	"errors"
	"fmt"
	"net/url"
	"runtime"

	_ "modernc.org/sqlite" //nolint:depguard // the database/sql driver "sqlite", as before
)

const schema = `CREATE TABLE tasks (
	id      TEXT NOT NULL PRIMARY KEY,
	version TEXT NOT NULL,
	status  TEXT NOT NULL,
	shared  TEXT NOT NULL,
	record  `

const (
	upsertSQL = `INSERT INTO tasks (id, version, status, shared, record) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET status = excluded.status, shared = excluded.shared, record = excluded.record`
	getSQL = `SELECT version, status, shared FROM tasks WHERE id = $1`
)

// sqlite is a file with the settings that the suite gives its own.
type sqlite struct {
	db                           *sql.DB
	conn                         *sql.Conn // the one that writes
	begin, upserted, commit, got *sql.Stmt
}

func openSQLite(ctx context.Context, path string) (*sqlite, error) {
	query := url.Values{"_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(4000)",
		"cache_size(-16384)", "temp_store(MEMORY)",
	}}
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(path)+"?"+query.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxIdleConns(runtime.NumCPU() + 1)
	s := &sqlite{db: db}
	if s.conn, err = db.Conn(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if _, err := s.conn.ExecContext(ctx, schema+"BLOB NOT NULL)"); err != nil {
		return nil, fmt.Errorf("make the table: %w", err)
	}
	var errs [4]error
	s.begin, errs[0] = s.conn.PrepareContext(ctx, "BEGIN IMMEDIATE")
	s.upserted, errs[1] = s.conn.PrepareContext(ctx, upsertSQL)
	s.commit, errs[2] = s.conn.PrepareContext(ctx, "COMMIT")
	s.got, errs[3] = db.PrepareContext(ctx, getSQL)
	return s, errors.Join(errs[:]...)
}

func (s *sqlite) upsert(ctx context.Context, rows []row) error {
	if _, err := s.begin.ExecContext(ctx); err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		if _, err := s.upserted.ExecContext(ctx, r.id, r.version, r.status, r.shared, r.record); err != nil {
			_, rollback := s.conn.ExecContext(ctx, "ROLLBACK")
			return errors.Join(err, rollback)
		}
	}
	_, err := s.commit.ExecContext(ctx)
	return err
}

func (s *sqlite) get(ctx context.Context, id string) (row, error) {
	r := row{id: id}
	return r, s.got.QueryRowContext(ctx, id).Scan(&r.version, &r.status, &r.shared)
}

func (s *sqlite) close() {
	_ = s.conn.Close()
	_ = s.db.Close()
}

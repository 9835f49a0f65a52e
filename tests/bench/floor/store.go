package main

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

// row is what one commit of the suite comes down to.
type row struct {
	id, version, status string
	shared              string // JSON
	record              []byte // what the suite keeps besides
}

// database is what a floor is built on.
type database interface {
	// upsert writes the rows in one durable transaction.
	upsert(ctx context.Context, rows []row) error
	get(ctx context.Context, id string) (row, error)
	close()
}

const (
	// maxGroup is how many writes share a commit at most.
	maxGroup = 256
	// maxYields is how often a writer lets others run before it takes the line
	// for empty: those whose commit has just ended are about to write again.
	maxYields = 8
)

// store groups the writes that wait at the same time into one commit.
type store struct {
	db      database
	line    chan *write
	stop    chan struct{}
	writers sync.WaitGroup

	commits, writes atomic.Int64
}

type write struct {
	rows []row
	done chan error
}

// openStore opens the database that the DSN names.
func openStore(ctx context.Context, dsn string) (*store, error) {
	if strings.HasPrefix(dsn, "postgres://") {
		db, err := openPostgres(ctx, dsn)
		if err != nil {
			return nil, err
		}
		return newStore(db, postgresWriters), nil
	}
	db, err := openSQLite(ctx, dsn)
	if err != nil {
		return nil, err
	}
	return newStore(db, 1), nil
}

func newStore(db database, writers int) *store {
	s := &store{db: db, line: make(chan *write, maxGroup), stop: make(chan struct{})}
	for range writers {
		s.writers.Go(s.loop)
	}
	return s
}

// commit returns when the rows are durable.
func (s *store) commit(rows ...row) error {
	w := &write{rows: rows, done: make(chan error, 1)}
	s.line <- w
	return <-w.done
}

func (s *store) loop() {
	var group []*write
	var rows []row
	for {
		group, rows = group[:0], rows[:0]
		select {
		case w := <-s.line:
			group, rows = append(group, w), append(rows, w.rows...)
		case <-s.stop:
			return
		}
		for yields := 0; len(group) < maxGroup && yields <= maxYields; {
			select {
			case w := <-s.line:
				group, rows = append(group, w), append(rows, w.rows...)
			default:
				yields++
				runtime.Gosched()
			}
		}
		err := s.db.upsert(context.Background(), rows)
		s.commits.Add(1)
		s.writes.Add(int64(len(group)))
		for _, w := range group {
			w.done <- err
		}
	}
}

func (s *store) close() {
	close(s.stop)
	s.writers.Wait()
	s.db.close()
}

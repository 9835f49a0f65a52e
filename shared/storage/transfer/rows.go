package transfer

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

const (
	// A batch is full with so many rows or bytes, whichever comes first. Small
	// rows make a thousand a good bargain between commits and memory; large ones
	// make the bytes the bound, plus one row.
	batchRows  = 2000
	batchBytes = 4 << 20
)

// copyTables copies what the target does not have yet, table by table, and
// returns the number of rows.
func (p *pair) copyTables(ctx context.Context) (copied int64, err error) {
	for _, t := range p.tables {
		rows, err := p.copyTable(ctx, t)
		if copied += rows; err != nil {
			return copied, fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return copied, nil
}

func (p *pair) copyTable(ctx context.Context, t table) (copied int64, err error) {
	total, err := p.from.number(ctx, t.countSQL())
	if err != nil {
		return 0, fmt.Errorf("count the rows: %w", err)
	}
	there, err := p.to.number(ctx, t.countSQL())
	if err != nil {
		return 0, fmt.Errorf("count the rows of the target: %w", err)
	}
	last, err := p.to.lastKey(ctx, t)
	if err != nil {
		return 0, err
	}
	now := Progress{Phase: Copying, Service: p.Service, Table: t.name, Rows: there, Total: total}
	p.tell(now)

	// The next batch is read while one is written.
	group, within := errgroup.WithContext(ctx)
	batches := make(chan [][]any, 1)
	group.Go(func() error {
		defer close(batches)
		return p.readBatches(within, readParams{table: t, behind: last, into: batches})
	})
	group.Go(func() error {
		for rows := range batches {
			if err := p.to.insert(within, t, rows); err != nil {
				return fmt.Errorf("write rows: %w", err)
			}
			copied += int64(len(rows))
			now.Rows = there + copied
			p.tell(now)
		}
		return nil
	})
	err = group.Wait()
	if err == nil {
		now.Done = true
		p.tell(now)
	}
	return copied, err
}

type readParams struct {
	table  table
	behind []any // the key to begin behind; nil for all rows
	into   chan<- [][]any
}

// readBatches reads the source's rows behind a key.
func (p *pair) readBatches(ctx context.Context, r readParams) error {
	query := r.table.rowsSQL()
	if r.behind != nil {
		query = r.table.rowsBehindSQL()
	}
	var batch [][]any
	bytes := 0
	pass := func() error {
		select {
		case r.into <- batch:
			batch, bytes = nil, 0
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for row, err := range p.from.query(ctx, query, r.behind...) {
		if err == nil {
			err = r.table.normalize(row)
		}
		if err != nil {
			return fmt.Errorf("read rows: %w", err)
		}
		batch = append(batch, row)
		if bytes += size(row); len(batch) == batchRows || bytes >= batchBytes {
			if err := pass(); err != nil {
				return err
			}
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return pass()
}

// normalize makes every value nil or of its column's class: int64, float64 or
// string. SQLite may hand out text as bytes, and a whole number for a real one.
func (t table) normalize(row []any) error {
	for i, value := range row {
		switch c := t.columns[i]; v := value.(type) {
		case nil:
			continue
		case int64:
			if c.class == classInteger {
				continue
			}
			if c.class == classReal {
				row[i] = float64(v)
				continue
			}
		case float64:
			if c.class == classReal {
				continue
			}
		case string:
			if c.class == classText {
				continue
			}
		case []byte:
			if c.class == classText {
				row[i] = string(v)
				continue
			}
		}
		return fmt.Errorf("row %v: column %s of class %s holds a %T", t.keyOf(row), t.columns[i].name, t.columns[i].class, value)
	}
	return nil
}

// size is about what a row takes in memory.
func size(row []any) int {
	const each = 16
	n := each * len(row)
	for _, value := range row {
		if text, ok := value.(string); ok {
			n += len(text)
		}
	}
	return n
}

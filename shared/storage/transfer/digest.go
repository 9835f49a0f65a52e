package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	"golang.org/x/sync/errgroup"
)

// compare reads every table of every pair on both sides and adds them to the
// report.
func (all pairs) compare(ctx context.Context, report *Report) error {
	report.Tables = []Table{}
	var different []string
	for _, one := range all {
		for _, t := range one.tables {
			result, err := one.compareTable(ctx, t)
			if err != nil {
				return fmt.Errorf("compare %s.%s: %w", one.Service, t.name, err)
			}
			report.Tables = append(report.Tables, result)
			if !result.Equal {
				different = append(different, one.Service+"."+t.name)
			}
		}
	}
	if len(different) > 0 {
		return fmt.Errorf("%w in %s", ErrDiffers, strings.Join(different, ", "))
	}
	return nil
}

func (p *pair) compareTable(ctx context.Context, t table) (Table, error) {
	total, err := p.from.number(ctx, t.countSQL())
	if err != nil {
		return Table{}, fmt.Errorf("count the rows: %w", err)
	}
	now := Progress{Phase: Comparing, Service: p.Service, Table: t.name, Total: total}
	result := Table{Service: p.Service, Table: t.name}
	group, within := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		result.From, err = p.from.digest(within, t, func(rows int64) { now.Rows = rows; p.tell(now) })
		return err
	})
	group.Go(func() (err error) {
		result.To, err = p.to.digest(within, t, func(int64) {})
		return err
	})
	if err := group.Wait(); err != nil {
		return Table{}, err
	}
	now.Rows, now.Done = total, true
	p.tell(now)
	result.Equal = result.From == result.To
	return result, nil
}

// digest reads a table. It tells how many rows it has read now and then.
func (db *database) digest(ctx context.Context, t table, tell func(rows int64)) (Content, error) {
	hash := sha256.New()
	var content Content
	var line []byte
	for _, c := range t.columns {
		line = appendText(appendText(line, c.name), string(c.class))
	}
	for row, err := range db.query(ctx, t.rowsSQL()) {
		if err == nil {
			err = t.normalize(row)
		}
		if err != nil {
			return Content{}, fmt.Errorf("read rows: %w", err)
		}
		// The hash's Write never fails. The line before goes with its row, so
		// that the heading needs no call of its own.
		line = appendRow(line, row)
		_, _ = hash.Write(line)
		line = line[:0]
		if content.Rows++; content.Rows%batchRows == 0 {
			tell(content.Rows)
		}
	}
	_, _ = hash.Write(line)
	content.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return content, nil
}

// appendRow writes a row so that no two rows are written alike: each value as a
// letter for its kind and a fixed or a stated number of bytes.
func appendRow(line []byte, row []any) []byte {
	for _, value := range row {
		switch v := value.(type) {
		case nil:
			line = append(line, 'n')
		case int64:
			line = binary.BigEndian.AppendUint64(append(line, 'i'), uint64(v))
		case float64:
			line = binary.BigEndian.AppendUint64(append(line, 'r'), math.Float64bits(v))
		case string:
			line = appendText(append(line, 't'), v)
		}
	}
	return line
}

func appendText(line []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint64(line, uint64(len(text))), text...)
}

package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// mark is what an unfinished copy says of itself, in a table of its own.
type mark struct {
	source string // the name of the database that it is a copy of
	stage  stage
}

type stage string

const (
	stageCopying  stage = "copying"
	stageCompared stage = "compared" // as were the targets of all other services
)

const (
	makeMarkSQL   = `CREATE TABLE IF NOT EXISTS ` + sqlstore.UnfinishedCopyTable + ` (source TEXT NOT NULL, stage TEXT NOT NULL)`
	clearMarkSQL  = `DELETE FROM ` + sqlstore.UnfinishedCopyTable
	writeMarkSQL  = `INSERT INTO ` + sqlstore.UnfinishedCopyTable + ` (source, stage) VALUES ($1, $2)`
	readMarkSQL   = `SELECT source, stage FROM ` + sqlstore.UnfinishedCopyTable
	removeMarkSQL = `DROP TABLE IF EXISTS ` + sqlstore.UnfinishedCopyTable
)

func (db *database) readMark(ctx context.Context) (*mark, error) {
	m := &mark{}
	for row, err := range db.query(ctx, readMarkSQL) {
		if err != nil {
			return nil, err
		}
		m.source, m.stage = row[0].(string), stage(row[1].(string))
	}
	return m, nil
}

// setMark makes the mark, or gives it another stage, in one transaction.
func (db *database) setMark(ctx context.Context, m mark) error {
	err := db.exec(ctx, "BEGIN")
	if err == nil {
		err = db.exec(ctx, makeMarkSQL)
	}
	if err == nil {
		err = db.exec(ctx, clearMarkSQL)
	}
	if err == nil {
		err = db.exec(ctx, writeMarkSQL, m.source, string(m.stage))
	}
	if err == nil {
		err = db.exec(ctx, "COMMIT")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("mark the target as unfinished: %w", err), db.exec(context.WithoutCancel(ctx), "ROLLBACK"))
	}
	db.mark = &m
	return nil
}

func (db *database) removeMark(ctx context.Context) error {
	if err := db.exec(ctx, removeMarkSQL); err != nil {
		return fmt.Errorf("take the mark of an unfinished copy away: %w", err)
	}
	db.mark = nil
	return nil
}

package sqlstore

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	// A log that a pull worker may write to is known before it does: the run's
	// row is not found by its id alone.
	expectRunLogSQL = `
INSERT INTO run_logs (run_id, task_id, no, entries, bytes) VALUES ($1, $2, $3, 0, 0) ON CONFLICT DO NOTHING`

	// It finds no run, or locks the log's row: what changes nothing is for the
	// lock.
	openRunLogSQL = `
INSERT INTO run_logs (run_id, task_id, no, entries, bytes)
SELECT id, task_id, no, 0, 0 FROM node_runs WHERE task_id = $1 AND no = $2 AND id = $3
ON CONFLICT (run_id) DO UPDATE SET bytes = run_logs.bytes
RETURNING entries, bytes`

	knownLogEntrySQL = `SELECT 1 FROM run_log_entries WHERE run_id = $1 AND source_id = $2 AND source_id <> ''`

	insertLogEntrySQL = `INSERT INTO run_log_entries (run_id, seq, source_id, at, text) VALUES ($1, $2, $3, $4, $5)`

	// All of it was computed under the row's lock.
	updateRunLogSQL = `UPDATE run_logs SET entries = $2, bytes = $3 WHERE run_id = $1`
)

// runLog is what an append reads and changes of a log.
type runLog struct {
	entries int64
	bytes   int64 // over the most: full, and marked so
	known   map[string]bool
	changed bool
}

// AppendRunLogs implements storage.Tasks.
func (t *Tasks) AppendRunLogs(ctx context.Context, entries []storage.LogEntry, most int) (storage.Outcomes, error) {
	outcomes, err := sift(entries, refuseLogEntry, func(entries []storage.LogEntry) ([]error, error) {
		return t.appendRunLogs(ctx, entries, int64(most))
	})
	if err != nil {
		return nil, fmt.Errorf("append to run logs: %w", err)
	}
	return outcomes, nil
}

func refuseLogEntry(entry *storage.LogEntry) (error, bool) {
	switch {
	case !storable(entry.Run.TaskID, entry.Run.ID):
		return storage.ErrNotFound, true
	case !storable(entry.SourceID):
		return storage.ErrInvalidText, true
	}
	return nil, false
}

// appendRunLogs locks the logs and reads what it needs of them, decides, and
// writes.
func (t *Tasks) appendRunLogs(ctx context.Context, entries []storage.LogEntry, most int64) ([]error, error) {
	order := orderBy(entries, func(entry storage.LogEntry) string { return entry.Run.ID })
	var outcomes []error
	err := t.Write(ctx, func(ctx context.Context, tx Tx) error {
		logs := make(map[storage.RunRef]*runLog, len(entries))
		var reads Batch
		for _, i := range order {
			run := entries[i].Run
			if _, asked := logs[run]; !asked {
				logs[run] = nil
				reads.Query(openLog(logs, run), openRunLogSQL, run.TaskID, run.No, run.ID)
			}
			// Only after the lock: whoever is adding this entry has committed by
			// then.
			if source := entries[i].SourceID; source != "" {
				reads.Query(knownEntry(logs, run, source), knownLogEntrySQL, run.ID, source)
			}
		}
		if err := tx.Run(ctx, &reads); err != nil {
			return err
		}
		outcomes = make([]error, len(entries))
		var writes Batch
		for _, i := range order {
			log := logs[entries[i].Run]
			if log == nil {
				outcomes[i] = storage.ErrNotFound
				continue
			}
			log.add(&writes, &entries[i], most)
		}
		for _, i := range order {
			if log := logs[entries[i].Run]; log != nil && log.changed {
				log.changed = false
				writes.Exec(updateRunLogSQL, entries[i].Run.ID, log.entries, log.bytes)
			}
		}
		return tx.Finish(ctx, &writes)
	})
	return outcomes, err
}

func openLog(logs map[storage.RunRef]*runLog, run storage.RunRef) func(Row) error {
	return func(row Row) error {
		log := &runLog{known: map[string]bool{}}
		logs[run] = log
		return row.Scan(&log.entries, &log.bytes)
	}
}

func knownEntry(logs map[storage.RunRef]*runLog, run storage.RunRef, source string) func(Row) error {
	return func(row Row) error {
		if log := logs[run]; log != nil {
			log.known[source] = true
		}
		_, err := scanInt(row)
		return err
	}
}

// add writes an entry, or what fits of it.
func (l *runLog) add(writes *Batch, entry *storage.LogEntry, most int64) {
	text := lines(clean(entry.Text))
	if text == "" || l.known[entry.SourceID] || l.bytes > most {
		return
	}
	if room := most - l.bytes - storage.LogEntryCost; int64(len(text)) <= room {
		l.bytes += int64(len(text)) + storage.LogEntryCost
	} else {
		text = lines(head(text, room)) + storage.LogFull
		l.bytes = most + 1
	}
	l.entries++
	l.changed = true
	if entry.SourceID != "" {
		l.known[entry.SourceID] = true
	}
	writes.Exec(insertLogEntrySQL, entry.Run.ID, l.entries, entry.SourceID, micros(entry.At), text)
}

// lines ends a text's last line.
func lines(text string) string {
	if text == "" || strings.HasSuffix(text, "\n") {
		return text
	}
	return text + "\n"
}

// head is as much of a text's beginning as has room, in whole characters.
func head(text string, room int64) string {
	if room <= 0 {
		return ""
	}
	end := int(room)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

const (
	runOfLogSQL = `
SELECT l.task_id, l.no, l.run_id, COALESCE(r.status, '') FROM run_logs l LEFT JOIN node_runs r ON r.task_id = l.task_id AND r.no = l.no
WHERE l.run_id = $1`

	runOfTaskSQL = `SELECT task_id, no, id, status FROM node_runs WHERE task_id = $1 AND id = $2`

	runLogTextSQL = `SELECT text FROM run_log_entries WHERE run_id = $1 ORDER BY seq`
)

// ReadRunLog implements storage.Tasks. The run is read before the text, so that
// nothing of a run that is read as ended is missed.
func (t *Tasks) ReadRunLog(ctx context.Context, query storage.RunLogQuery) (storage.RunLog, error) {
	find, args := runOfLogSQL, []any{query.RunID}
	if query.TaskID != "" {
		find, args = runOfTaskSQL, []any{query.TaskID, query.RunID}
	}
	log, err := queryOne(ctx, t.Read(), scanRunLog, find, args...)
	if err != nil {
		return storage.RunLog{}, fmt.Errorf("find the log of run %s: %w", query.RunID, err)
	}
	var text strings.Builder
	var read Batch
	read.Query(func(row Row) error {
		var part string
		err := row.Scan(&part)
		text.WriteString(part)
		return err
	}, runLogTextSQL, query.RunID)
	if err := t.Read().Run(ctx, &read); err != nil {
		return storage.RunLog{}, fmt.Errorf("read the log of run %s: %w", query.RunID, err)
	}
	log.Text = text.String()
	return log, nil
}

func scanRunLog(row Row) (storage.RunLog, error) {
	var log storage.RunLog
	var status string
	err := row.Scan(&log.Run.TaskID, &log.Run.No, &log.Run.ID, &status)
	log.Status = storage.RunStatus(status)
	return log, err
}
